import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../../src/base/log.js';
import { Connections } from '../../../src/daemon/connections.js';
import type { Detection } from '../../../src/filter/detection.js';
import { DELAY_MS, KnownGoodWriter } from '../../../src/filter/known-good.js';
import { Connection } from '../../../src/netlink/conntrack-event.js';
import { evidenceOf } from '../../../src/policy/evidence.js';
import { FakeClock } from '../../support/clock.js';
import { alertFrom, endpoint } from '../policy/support.js';

const CLIENT = 0xcb007142 | 0;
const SERVER = 0xc6336401 | 0;

describe('what connection tracking proves', () => {
  let folder: string;
  let clock: FakeClock;
  let said: string[];
  let liberal: boolean;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'connections-'));
    clock = new FakeClock();
    said = [];
    liberal = false;
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const file = () => join(folder, 'known-good');
  /** Starts it, and a worker's writer beside it. */
  const started = async () => {
    const log = createLog('silent');
    log.warn = (...words: unknown[]) => void said.push(JSON.stringify(words));
    const connections = new Connections({ file: file(), clock, log, isLiberal: () => liberal });
    await connections.start();
    const writer = new KnownGoodWriter(connections.memory, () => clock.now());
    return { connections, writer };
  };
  const complete = (writer: KnownGoodWriter) => {
    const it = new Connection();
    it.source0 = CLIENT;
    it.target0 = SERVER;
    it.sourcePort = 40_000;
    it.targetPort = 443;
    writer.completed(it, clock.now());
  };
  const alert = (src = '203.0.113.66', srcPort = 40_000, dest = '198.51.100.1', destPort = 443) =>
    alertFrom({}, { src: endpoint(src, srcPort), dest: endpoint(dest, destPort) });

  it('is unknown until a worker reads the events, and again when it ended', async () => {
    const { connections, writer } = await started();
    expect(connections.areKnown).toBe(false);
    expect(connections.isKnownGood).toBeNull();
    complete(writer);
    expect(connections.stateOf(alert())).toBe('unknown');
    writer.listening(true);
    expect(connections.areKnown).toBe(true);
    expect(connections.isKnownGood?.('203.0.113.66')).toBe(false);
    expect(connections.stateOf(alert())).toBe('assured');
    connections.stopped();
    expect(connections.areKnown).toBe(false);
    expect(connections.isKnownGood).toBeNull();
    expect(connections.stateOf(alert())).toBe('unknown');
    await connections.stop();
  });

  it('is of the very connection of an alert, from either end, and then is proof', async () => {
    const { connections, writer } = await started();
    writer.listening(true);
    complete(writer);
    const facts = { ruleFacts: () => null, conntrack: connections.stateOf.bind(connections) };
    expect(evidenceOf(alert(), facts)).toMatchObject({ proof: 'conntrack' });
    expect(evidenceOf(alert('198.51.100.1', 443, '203.0.113.66', 40_000), facts)).toMatchObject({ proof: 'conntrack' });
    for (const other of [
      alert('203.0.113.67'),
      alert('203.0.113.66', 40_001),
      alert(undefined, undefined, undefined, 80),
    ]) {
      expect(connections.stateOf(other)).toBe('unknown');
    }
    expect(connections.stateOf({ ...alert(), proto: 'UDP' })).toBe('unknown');
    expect(connections.stateOf({ ...alert(), dest: null })).toBe('unknown');
    await clock.advance(601_000);
    expect(connections.stateOf(alert())).toBe('unknown');
    await connections.stop();
  });

  it('is nothing while the kernel takes any ACK for the end of a handshake', async () => {
    const { connections, writer } = await started();
    writer.listening(true);
    complete(writer);
    const detection: Detection = {
      detector: 'port_scan',
      source: '203.0.113.66',
      target: '198.51.100.1',
      count: 31,
      window: 60,
      at: clock.now(),
      ban: 600,
      proof: 'conntrack',
      knownGood: false,
    };
    expect(connections.counted(detection)).toBe(detection);
    liberal = true;
    await clock.advance(10_000);
    expect(connections.counted(detection)).toEqual({ ...detection, proof: null });
    expect(connections.stateOf(alert())).toBe('unknown');
    liberal = false;
    await clock.advance(10_000);
    expect(connections.stateOf(alert())).toBe('assured');
    await connections.stop();
  });

  it('keeps who is known good over a restart, for root only, and saves every five minutes', async () => {
    const first = await started();
    first.writer.listening(true);
    complete(first.writer);
    await clock.advance(DELAY_MS);
    first.writer.tick(clock.now());
    expect(first.connections.isKnownGood?.('203.0.113.66')).toBe(true);
    await first.connections.stop();
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    const kept = readFileSync(file());
    const second = await started();
    expect(second.connections.isKnownGood).toBeNull();
    second.writer.listening(true);
    expect(second.connections.isKnownGood?.('203.0.113.66')).toBe(true);
    expect(second.connections.isKnownGood?.('203.0.113.67')).toBe(false);
    await second.connections.stop();
    // Nothing changed, so the key and every bit are the same.
    expect(readFileSync(file()).equals(kept)).toBe(true);
    expect(said).toEqual([]);
  });

  it('begins anew, and says so once, when what was kept is damaged', async () => {
    const first = await started();
    await first.connections.stop();
    expect(existsSync(file())).toBe(true);
    truncateSync(file(), 1000);
    const second = await started();
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('1000 bytes instead of');
    second.writer.listening(true);
    expect(second.connections.isKnownGood?.('203.0.113.66')).toBe(false);
    await second.connections.stop();
    const third = await started();
    await third.connections.stop();
    expect(said).toHaveLength(1);
  });
});
