import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../../src/base/log.js';
import { LiveFacts, redisHostOf } from '../../../src/protection/live-facts.js';
import { gateways4, gateways6, resolvers } from '../../../src/protection/neighbours.js';
import { inet6Addresses, localAddresses } from '../../../src/protection/own-addresses.js';
import { logindSession, utmpSessions } from '../../../src/protection/ssh-sessions.js';
import { FakeClock } from '../../support/clock.js';

/** One record of utmp as glibc of x86-64 writes it. */
function utmpRecord(
  fields: { type?: number; pid?: number; user?: string; address: number[] },
  size = 384,
  at = 348,
): Buffer {
  const record = Buffer.alloc(size);
  record.writeInt16LE(fields.type ?? 7, 0);
  record.writeInt32LE(fields.pid ?? 4242, 4);
  record.write(fields.user ?? 'root', 44, 'latin1');
  Buffer.from(fields.address).copy(record, at);
  return record;
}

describe('sessions of logind', () => {
  const file = (changes: string) =>
    `# This is private data. Do not parse.\nUID=0\nUSER=root\nACTIVE=1\nSTATE=active\nREMOTE=1\nREMOTE_HOST=203.0.113.5\nSERVICE=sshd\nCLASS=user\n${changes}`;

  it('that are remote give the peer and the user', () => {
    expect(logindSession(file(''))).toEqual({ peer: '203.0.113.5', user: 'root' });
    expect(logindSession(file('REMOTE_HOST="2001:DB8::5"\n'))).toEqual({ peer: '2001:db8::5', user: 'root' });
  });

  it('that are local, closing or from a name give none', () => {
    expect(logindSession(file('REMOTE=0\n'))).toBeNull();
    expect(logindSession(file('STATE=closing\n'))).toBeNull();
    expect(logindSession(file('REMOTE_HOST=client.example\n'))).toBeNull();
    expect(logindSession('')).toBeNull();
  });
});

describe('sessions of utmp', () => {
  it('are the remote logins whose process lives', () => {
    const bytes = Buffer.concat([
      utmpRecord({ type: 2, address: [1, 2, 3, 4] }),
      utmpRecord({ address: [203, 0, 113, 5], user: 'alice' }),
      utmpRecord({ address: [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 5] }),
      utmpRecord({ address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 198, 51, 100, 7] }),
      utmpRecord({ address: [] }),
      utmpRecord({ pid: 1, address: [9, 9, 9, 9] }),
      Buffer.alloc(100),
    ]);
    expect(utmpSessions(bytes, (pid) => pid === 4242, 'x64')).toEqual([
      { peer: '203.0.113.5', user: 'alice' },
      { peer: '2001:db8::5', user: 'root' },
      { peer: '198.51.100.7', user: 'root' },
    ]);
  });

  it('are read in the layout of arm64 too', () => {
    const bytes = utmpRecord({ address: [203, 0, 113, 5] }, 400, 360);
    expect(utmpSessions(bytes, () => true, 'arm64')).toEqual([{ peer: '203.0.113.5', user: 'root' }]);
  });
});

describe('the files of /proc', () => {
  it('give gateways of IPv4, each once', () => {
    const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0000000A\t0102000A\t0003\t0\t0\t0\t000000FF\t0\t0\t0
eth1\t0000000B\t0102000A\t0003\t0\t0\t0\t000000FF\t0\t0\t0
broken
`;
    expect(gateways4(text)).toEqual(['192.0.2.1', '10.0.2.1']);
  });

  it('give gateways of IPv6', () => {
    const text = `fd000000000000000000000000000000 40 ${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00000100 00000001 00000000 00000001     eth0
${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
`;
    expect(gateways6(text)).toEqual(['fd00::1']);
  });

  it('give local addresses, not networks or broadcasts', () => {
    const text = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
           |-- 192.0.2.0
              /24 link UNICAST
           |-- 192.0.2.2
              /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
        |-- 192.0.2.128
           /25 link UNICAST
           /32 host LOCAL
`;
    expect(localAddresses(text)).toEqual(['192.0.2.2', '192.0.2.128']);
    expect(inet6Addresses('fd000000000000000000000000000002 04 40 00 82     eth0\nx\n')).toEqual(['fd00::2']);
  });

  it('give resolvers in every spelling', () => {
    const text =
      '# nameserver 1.2.3.4\nnameserver 10.0.0.53\n  nameserver\tfe80::53%eth0 \nnameserver 2001:DB8::53;x\nnameserver bad\nsearch example.org\n';
    expect(resolvers(text)).toEqual(['10.0.0.53', 'fe80::53', '2001:db8::53']);
  });
});

describe('LiveFacts', () => {
  let folder: string;
  let clock: FakeClock;
  let facts: LiveFacts;
  const write = (file: string, text: string | Buffer) => writeFileSync(join(folder, file), text);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'barricata-live-'));
    for (const name of ['proc/net', 'proc/4242', 'sessions']) mkdirSync(join(folder, name), { recursive: true });
    write('proc/net/route', 'Iface\tDestination\tGateway\tFlags\neth0\t00000000\t010200C0\t0003\n');
    write('proc/net/ipv6_route', '');
    write('resolv.conf', 'nameserver 10.0.0.53\n');
    clock = new FakeClock();
    facts = new LiveFacts({
      clock,
      log: createLog('silent'),
      redisHosts: ['198.51.100.6', '198.51.100.7'],
      places: {
        proc: join(folder, 'proc'),
        resolvConf: [join(folder, 'resolv.conf')],
        logind: join(folder, 'sessions'),
        utmp: join(folder, 'utmp'),
      },
    });
  });
  afterEach(async () => {
    await facts.stop();
    rmSync(folder, { recursive: true });
  });

  const session = (peer: string, user = 'root') => `USER=${user}\nSTATE=active\nREMOTE=1\nREMOTE_HOST=${peer}\n`;
  const named = () => facts.current().addresses.map(({ address, what }) => `${address} ${what}`);

  it('say what each address is', async () => {
    write('sessions/7', session('203.0.113.5', 'alice'));
    write('sessions/7.ref', session('203.0.113.6'));
    await facts.start();
    expect(named()).toEqual(
      expect.arrayContaining([
        '192.0.2.1 gateway',
        '10.0.0.53 resolver',
        '203.0.113.5 ssh session of alice',
        '198.51.100.6 Redis server',
        '198.51.100.7 Redis server',
        '127.0.0.1 own address',
      ]),
    );
    expect(facts.current().sshPeers).toEqual(['203.0.113.5']);
    expect(facts.current().sshSources).toEqual(['logind']);
  });

  it('keep the peer of a session for an hour after it ended', async () => {
    const lookAfter = async (ms: number) => {
      await clock.advance(ms);
      facts.refresh();
    };
    write('sessions/7', session('203.0.113.5'));
    facts.refresh();
    await lookAfter(10_000_000);
    rmSync(join(folder, 'sessions/7'));
    await lookAfter(3_600_000);
    expect(facts.current().sshPeers).toEqual(['203.0.113.5']);
    await lookAfter(1);
    expect(facts.current().sshPeers).toEqual([]);
  });

  it('join logind and utmp', async () => {
    write('sessions/7', session('203.0.113.5'));
    write('utmp', utmpRecord({ address: [203, 0, 113, 6] }));
    await facts.start();
    expect([...facts.current().sshPeers].sort()).toEqual(['203.0.113.5', '203.0.113.6']);
    expect(facts.current().sshSources).toEqual(['logind', 'utmp']);
  });

  it('ask the environments of processes where there is neither, looking twice since a login execs after its fork', async () => {
    rmSync(join(folder, 'sessions'), { recursive: true });
    write('proc/4242/environ', 'PATH=/bin\0');
    await facts.start();
    expect(facts.current().sshPeers).toEqual([]);
    write('proc/4242/environ', 'PATH=/bin\0SSH_CONNECTION=203.0.113.5 51234 192.0.2.2 22\0USER=bob\0');
    await clock.advance(6000);
    expect(named()).toContain('203.0.113.5 ssh session of bob');
    expect(facts.current().sshSources).toEqual(['environ']);
  });

  it('do not ask environments where a session is known otherwise', async () => {
    write('proc/4242/environ', 'SSH_CONNECTION=203.0.113.99 51234 192.0.2.2 22\0');
    write('sessions/7', session('203.0.113.5'));
    await facts.start();
    expect(facts.current().sshPeers).toEqual(['203.0.113.5']);
  });

  it('say so when no source of sessions can be read', async () => {
    rmSync(join(folder, 'sessions'), { recursive: true });
    rmSync(join(folder, 'proc/4242'), { recursive: true });
    await facts.start();
    expect(facts.current().sshSources).toEqual([]);
    expect(facts.current().problems.join()).toContain('no source of SSH sessions can be read');
  });

  it('keep gateways and resolvers that cannot be read for a moment', async () => {
    await facts.start();
    rmSync(join(folder, 'resolv.conf'));
    rmSync(join(folder, 'proc/net/route'));
    await clock.advance(2000);
    expect(facts.current().gateways).toEqual(['192.0.2.1']);
    expect(facts.current().resolvers).toEqual(['10.0.0.53']);
    expect(facts.current().problems.join()).toContain('could not be read');
  });

  it('tell listeners of each change, and of nothing else', async () => {
    let changes = 0;
    const away = facts.onChange(() => {
      changes += 1;
    });
    await facts.start();
    expect(changes).toBe(1);
    await clock.advance(5000);
    expect(changes).toBe(1);
    write('resolv.conf', 'nameserver 10.0.0.54\n');
    await clock.advance(1000);
    expect(changes).toBe(2);
    away();
    write('resolv.conf', 'nameserver 10.0.0.55\n');
    await clock.advance(1000);
    expect(changes).toBe(2);
  });

  it('stop looking when stopped', async () => {
    await facts.start();
    await facts.stop();
    expect(clock.pending).toBe(0);
  });
});

describe('redisHostOf', () => {
  it.each([
    ['redis://10.0.0.5:6379/0', '10.0.0.5'],
    ['rediss://user:pw@redis.example:6380', 'redis.example'],
    ['redis://[2001:db8::5]:6379', '2001:db8::5'],
    ['unix:///run/redis.sock', null],
    [null, null],
  ])('of %s is %s', (url, host) => {
    expect(redisHostOf(url)).toBe(host);
  });
});
