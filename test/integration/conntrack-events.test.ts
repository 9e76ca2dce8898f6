/** Events of the kernel's connection tracking, made by real connections and scans from another namespace. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import { Connections } from '../../src/daemon/connections.js';
import { DELAY_MS, KnownGoodWriter } from '../../src/filter/known-good.js';
import { formatWords } from '../../src/net/address.js';
import type { Connection } from '../../src/netlink/conntrack-event.js';
import { type ConnectionSink, ConntrackEvents } from '../../src/netlink/conntrack-events.js';
import { conntrackStatus } from '../../src/netlink/conntrack-status.js';
import { evidenceOf } from '../../src/policy/evidence.js';
import type { EveAlert } from '../../src/suricata/eve-alert.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';
import { alertFrom, endpoint } from '../unit/policy/support.js';

const US4 = '203.0.113.1';
const US6 = '2001:db8:66::1';

class Heard implements ConnectionSink {
  readonly done: string[] = [];
  readonly closed: string[] = [];

  completed(c: Connection): void {
    this.done.push(textOf(c));
  }

  refused(c: Connection): void {
    this.closed.push(textOf(c));
  }
}

function textOf(c: Connection): string {
  const source = formatWords({ family: c.family, w0: c.source0, w1: c.source1, w2: c.source2, w3: c.source3 });
  const target = formatWords({ family: c.family, w0: c.target0, w1: c.target1, w2: c.target2, w3: c.target3 });
  return `${source} ${c.sourcePort} > ${target} ${c.targetPort}`;
}

describe.skipIf(!hasFeatures('root', 'conntrack', 'hping3'))('connection tracking events', () => {
  let client: Host;
  let web: Server;
  let events: ConntrackEvents | null = null;
  let heard: Heard;

  const listen = (): ConntrackEvents => {
    heard = new Heard();
    events = ConntrackEvents.open();
    events.listenToRefusals(true);
    return events;
  };
  const read = (): Heard => {
    events?.read(heard);
    return heard;
  };
  /** Runs a command in the client without blocking this thread, on which the web server answers. */
  const inClient = (command: string, ...args: string[]): Promise<number> =>
    new Promise((resolve) => {
      client.spawn(command, args).on('close', (code) => resolve(code ?? -1));
    });
  const hping = (...args: string[]) => inClient('hping3', '-q', '-c', '1', ...args, US4);
  const sysctl = (name: string, value: number) => writeFileSync(`/proc/sys/net/netfilter/${name}`, String(value));

  beforeAll(async () => {
    enterPrivateNetns();
    client = new Host('client', ['203.0.113.66/24', '2001:db8:66::66/64'], [`${US4}/24`, `${US6}/64`]);
    for (const command of ['iptables', 'ip6tables']) {
      run(command, '-t', 'mangle', '-A', 'PREROUTING', '-m', 'conntrack', '--ctstate', 'INVALID', '-j', 'RETURN');
    }
    web = createServer((_, response) => response.end('served\n'));
    await new Promise<void>((resolve) => web.listen(80, '::', resolve));
  });

  afterEach(() => {
    events?.close();
    events = null;
  });

  afterAll(() => {
    web.close();
    client.remove();
  });

  it('tells of a connection over IPv4 and over IPv6 that was completed, once, with the end that opened it as source', async () => {
    listen();
    expect(await inClient('curl', '-s', '-o', '/dev/null', '--local-port', '40001', `http://${US4}/`)).toBe(0);
    expect(await inClient('curl', '-s', '-o', '/dev/null', '--local-port', '40002', `http://[${US6}]/`)).toBe(0);
    await waitFor('both', () => read().done.length === 2);
    expect(heard.done).toEqual([`203.0.113.66 40001 > ${US4} 80`, `2001:db8:66::66 40002 > ${US6} 80`]);
    expect(heard.closed).toEqual([]);
    expect(events?.lost).toBe(0);
  });

  it('hands over nothing else: what comes and goes with a connection stays in the kernel', async () => {
    const open = listen();
    for (let n = 0; n < 5; n++) await inClient('curl', '-s', '-o', '/dev/null', `http://${US4}/`);
    run('conntrack', '-F');
    await inClient('ping', '-c', '2', '-i', '0.05', US4);
    await hping('-S', '-s', '41000', '-p', '81');
    let read = 0;
    await waitFor('the last event', () => {
      read += open.read(heard);
      return heard.closed.length === 1;
    });
    expect(heard.done).toHaveLength(5);
    expect(read).toBe(6);
  });

  it('does not take a connection that began before it was tracked for completed, for who opened it is not known', async () => {
    const text = `exec 3<>/dev/tcp/${US4}/80; read go; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3`;
    const old = client.spawn('bash', ['-c', text], { stdio: ['pipe', 'pipe', 'ignore'] });
    let answer = '';
    old.stdout?.on('data', (bytes) => {
      answer += bytes;
    });
    const assured = () => run('conntrack', '-L', '-p', 'tcp', '--dport', '80').includes('[ASSURED]');
    await waitFor('the connection', assured);
    run('conntrack', '-F');
    listen();
    old.stdin?.write('go\n');
    await waitFor('the answer', () => answer.includes('served'));
    await waitFor('the connection to be tracked again', assured);
    await hping('-S', '-s', '41003', '-p', '81');
    await waitFor('the last event', () => read().closed.length === 1);
    expect(heard.done).toEqual([]);
  });

  it('names the address that the client used where DNAT sends it elsewhere', async () => {
    const dnat = ['PREROUTING', '-p', 'tcp', '--dport', '8080', '-j', 'REDIRECT', '--to-ports', '80'];
    run('iptables', '-t', 'nat', '-A', ...dnat);
    try {
      listen();
      expect(await inClient('curl', '-s', '-o', '/dev/null', '--local-port', '40003', `http://${US4}:8080/`)).toBe(0);
      await waitFor('the connection', () => read().done.length > 0);
      expect(heard.done).toEqual([`203.0.113.66 40003 > ${US4} 8080`]);
    } finally {
      run('iptables', '-t', 'nat', '-D', ...dnat);
    }
  });

  it('tells of a SYN to a closed port and of an ACK out of nowhere that RST answered', async () => {
    listen();
    await hping('-S', '-s', '41001', '-p', '81');
    await hping('-A', '-s', '41002', '-p', '82');
    await waitFor('both', () => read().closed.length === 2);
    expect(heard.closed).toEqual([`203.0.113.66 41001 > ${US4} 81`, `203.0.113.66 41002 > ${US4} 82`]);
    expect(heard.done).toEqual([]);
  });

  it('is silent about an attempt that nobody answered, and about one that was reset after SYN+ACK, also when they end', async () => {
    // The answer goes before connection tracking sees it.
    const silence = ['OUTPUT', '-p', 'tcp', '--tcp-flags', 'RST', 'RST', '--sport', '83', '-j', 'DROP'];
    run('iptables', '-t', 'raw', '-A', ...silence);
    sysctl('nf_conntrack_tcp_timeout_syn_sent', 3);
    sysctl('nf_conntrack_tcp_timeout_close', 3);
    // Listing takes away what is over, which the kernel by itself does within a minute.
    const tracked = () => {
      run('conntrack', '-L');
      return Number(run('conntrack', '-C').trim());
    };
    try {
      run('conntrack', '-F');
      listen();
      await hping('-S', '-s', '42001', '-p', '83');
      await hping('-S', '-s', '42002', '-p', '80');
      expect(tracked()).toBe(2);
      await waitFor('the end of both', () => tracked() === 0, 30_000, 200);
      // Events come in order: with this one, those before it would be there.
      await hping('-S', '-s', '42003', '-p', '84');
      await waitFor('the last', () => read().closed.length > 0);
      expect(heard.closed).toEqual([`203.0.113.66 42003 > ${US4} 84`]);
      expect(heard.done).toEqual([]);
    } finally {
      sysctl('nf_conntrack_tcp_timeout_syn_sent', 120);
      sysctl('nf_conntrack_tcp_timeout_close', 10);
      run('iptables', '-t', 'raw', '-D', ...silence);
    }
  });

  it('proves the alert of a connection, from the kernel to the evidence', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'conntrack-'));
    const log = createLog('silent');
    const connections = new Connections({ file: join(folder, 'known-good'), clock: systemClock, log });
    await connections.start();
    const writer = new KnownGoodWriter(connections.memory, () => Date.now());
    writer.listening(true);
    const open = listen();
    const sink = { completed: (c: Connection) => writer.completed(c, Date.now()), refused: () => {} };
    const alertOf = (src: string, port: number, dest: string) =>
      alertFrom({}, { src: endpoint(src, port), dest: endpoint(dest, 80), flow: null });
    const proofOf = (alert: EveAlert) =>
      evidenceOf(alert, { ruleFacts: () => null, conntrack: (one) => connections.stateOf(one) }).proof;
    try {
      await inClient('curl', '-s', '-o', '/dev/null', '--local-port', '40011', `http://${US4}/`);
      await inClient('curl', '-s', '-o', '/dev/null', '--local-port', '40012', `http://[${US6}]/`);
      await waitFor('proof', () => {
        open.read(sink);
        return proofOf(alertOf('2001:db8:66::66', 40_012, US6)) === 'conntrack';
      });
      expect(proofOf(alertOf('203.0.113.66', 40_011, US4))).toBe('conntrack');
      expect(proofOf(alertOf('203.0.113.66', 40_012, US4))).toBeNull();
      expect(proofOf(alertOf('203.0.113.67', 40_011, US4))).toBeNull();
      writer.tick(Date.now() + DELAY_MS);
      expect(connections.isKnownGood?.('203.0.113.66')).toBe(true);
      expect(connections.isKnownGood?.('2001:db8:66::/64')).toBe(true);
      expect(connections.isKnownGood?.('203.0.113.67')).toBe(false);
    } finally {
      await connections.stop();
      rmSync(folder, { recursive: true });
    }
  });

  it('does not take a forged ACK for the end of a handshake, unless the kernel was told to take any', async () => {
    // A host that never sees our answers, and whose ACKs are guesses.
    client.run('iptables', '-A', 'INPUT', '-p', 'tcp', '--sport', '80', '-j', 'DROP');
    const guess = async (port: string) => {
      await hping('-S', '-s', port, '-p', '80', '-M', '1000');
      for (let n = 1; n <= 8; n++)
        await hping('-A', '-s', port, '-p', '80', '-M', '1001', '-L', String(n * 500_000_000));
    };
    try {
      listen();
      await guess('44001');
      await hping('-S', '-s', '44002', '-p', '81');
      await waitFor('the last event', () => read().closed.length === 1);
      expect(heard.done).toEqual([]);
      sysctl('nf_conntrack_tcp_be_liberal', 1);
      expect(conntrackStatus()).toMatchObject({ liberal: true, events: 2 });
      await guess('44003');
      await waitFor('a forged completion', () => read().done.length > 0);
      expect(heard.done).toEqual([`203.0.113.66 44003 > ${US4} 80`]);
    } finally {
      sysctl('nf_conntrack_tcp_be_liberal', 0);
      client.run('iptables', '-F', 'INPUT');
    }
    expect(conntrackStatus()).toMatchObject({ liberal: false, entries: expect.any(Number), most: expect.any(Number) });
    expect(conntrackStatus('/nowhere')).toBeNull();
  });

  it('reads thousands at once, counts when the kernel had to drop some, and goes on', async () => {
    const open = listen();
    await inClient('hping3', '-q', '-S', '-p', '++1000', '-i', 'u100', '-c', '3000', US4);
    await waitFor('all', () => read().closed.length === 3000);
    expect(open.lost).toBe(0);
    await inClient('hping3', '-q', '-S', '-p', '++1000', '-i', 'u10', '-c', '30000', US4);
    await waitFor('an end of the events', () => open.read(heard) === 0);
    expect(open.lost).toBeGreaterThan(0);
    const before = heard.closed.length;
    expect(before).toBeLessThan(33_000);
    await hping('-S', '-s', '43001', '-p', '85');
    await waitFor('the next', () => read().closed.length > before);
  });
});
