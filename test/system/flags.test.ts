/** Own hosts that call out are flagged by the real daemon, and a person says that the flag was seen. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';

const INSIDE = '192.168.50.10';
const OUTSIDE = '203.0.113.9';
const SID = 9_000_001;

interface Flag {
  readonly inside: string;
  readonly sid: number;
  readonly outside: string;
  readonly state: string;
  readonly owner: string | null;
}

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a flag', () => {
  let b: Barricata;
  const flags = (...more: string[]) => b.cli('flags', ...more, '-o', 'json').json<Flag[]>();

  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata({});
    writeFileSync(b.eve, '');
    await b.start();
    const ends = { src_ip: INSIDE, dest_ip: OUTSIDE };
    appendFileSync(b.eve, alertLine(INSIDE, { ...ends, flow: { ...ends, pkts_toserver: 4, pkts_toclient: 3 } }));
    await waitFor('the flag', () => flags().length === 1);
  });
  afterAll(() => b?.remove());

  it('of an own host that called out is listed, and bans nobody', () => {
    expect(flags()).toMatchObject([{ inside: INSIDE, sid: SID, outside: OUTSIDE, state: 'open', owner: null }]);
    expect(b.cli('flags', '-o', 'table').out).toMatch(/INSIDE .*\n192\.168\.50\.10 +9000001 +203\.0\.113\.9 .*open/);
    expect(b.elements().size).toBe(0);
  });

  it('is acknowledged and reopened by a person, in the journal, with the way back', () => {
    expect(b.cli('flags', 'ack', INSIDE, String(SID), '--dry-run').code).toBe(0);
    expect(flags('--state', 'open')).toHaveLength(1);
    const ack = b.cli('flags', 'ack', INSIDE, String(SID), '--owner', 'net team', '--as', 'kim', '--reason', 'rebuilt');
    expect(ack.code).toBe(0);
    expect(ack.out).toContain(`undo: barricata flags reopen ${INSIDE} ${SID}`);
    expect(flags('--state', 'open')).toEqual([]);
    expect(flags()).toMatchObject([{ state: 'acknowledged', owner: 'net team' }]);
    expect(b.cli('flags', 'ack', INSIDE, String(SID)).code).toBe(1);
    expect(b.cli('audit', '--act', 'acknowledge', '--by', 'kim', '-o', 'json').json()).toMatchObject([
      { address: INSIDE, why: 'rebuilt' },
    ]);
    expect(b.cli('flags', 'reopen', INSIDE, String(SID)).code).toBe(0);
    expect(flags('--state', 'open')).toHaveLength(1);
  });

  it.each([
    [['flags', 'ack'], 2],
    [['flags', 'ack', INSIDE], 2],
    [['flags', 'close', INSIDE, String(SID)], 2],
    [['flags', '--state', 'shut'], 2],
    [['flags', 'ack', '192.168.50.99', String(SID)], 1],
  ])('that is asked for wrongly changes nothing: %j', (args, code) => {
    expect(b.cli(...args).code).toBe(code);
    expect(flags('--state', 'open')).toHaveLength(1);
  });
});
