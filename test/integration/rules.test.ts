import { createServer, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FOREVER, systemClock } from '../../src/base/clock.js';
import { Commands } from '../../src/enforcement/command.js';
import { IpsetBackend } from '../../src/enforcement/ipset-backend.js';
import type { PacketPath } from '../../src/enforcement/queue-chains.js';
import { Rules, type RulesOptions } from '../../src/enforcement/rules.js';
import { RulesWatch } from '../../src/enforcement/rules-watch.js';
import { prefix } from '../../src/net/prefix.js';
import { hasFeatures } from '../support/feature.js';
import { DEFAULT_FILTER } from '../support/filter.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const basis = hasFeatures('root', 'ipset');
const variants = [
  ['nft', basis && hasFeatures('iptables-nft')],
  ['legacy', basis && hasFeatures('iptables-legacy')],
] as const;
if (basis) enterPrivateNetns();

const packetPath = (numbers: readonly number[] = [7]): PacketPath => ({
  queue: { numbers, whenOverloaded: 'accept', atMost: 100_000 },
  filter: DEFAULT_FILTER,
});

for (const [variant, present] of variants)
  describe.skipIf(!present)(`the rules of iptables-${variant}`, () => {
    const commands = new Commands();
    const backend = new IpsetBackend({ gate: () => null, clock: systemClock, maxelem: 65_536 });
    const make = (options: Partial<RulesOptions> = {}) =>
      new Rules({ commands, variant, outbound: true, packets: () => packetPath(), ...options });
    const saved = (family: 4 | 6, table: string) =>
      run(`${family === 4 ? 'iptables' : 'ip6tables'}-${variant}-save`, '-t', table)
        .split('\n')
        .filter((line) => line.startsWith('-A') || line.startsWith(':BARRICATA'))
        .join('\n');
    const everything = () => [4, 6].flatMap((f) => ['raw', 'mangle', 'filter'].map((t) => saved(f as 4 | 6, t)));
    const iptables = (...args: string[]) => run(`iptables-${variant}`, ...args);
    const ban = (...texts: string[]) =>
      backend.apply(
        'ban',
        texts.map((text) => ({ prefix: prefix(text), until: FOREVER })),
        [],
      );
    const allow = (...texts: string[]) =>
      backend.apply(
        'allow',
        texts.map((text) => ({ prefix: prefix(text), until: FOREVER })),
        [],
      );

    let attacker: Host;
    let innocent: Host;
    let server: Server;
    const ATTACKER = ['203.0.113.66', '2001:db8:66::66'] as const;

    beforeAll(async () => {
      attacker = new Host(
        'a',
        ['203.0.113.66/25', '203.0.113.67/25', '2001:db8:66::66/64'],
        ['203.0.113.1/25', '2001:db8:66::1/64'],
      );
      innocent = new Host('i', ['203.0.113.166/25', '2001:db8:77::66/64'], ['203.0.113.129/25', '2001:db8:77::1/64']);
      server = createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (data) => socket.write(data));
      });
      await new Promise<void>((resolve) => server.listen(8080, '::', resolve));
      await waitFor('the way there', () => attacker.succeeds('ping', '-c1', '-W1', '2001:db8:66::1'));
    });
    afterAll(() => {
      server.close();
      attacker.remove();
      innocent.remove();
    });
    beforeEach(() => backend.open());
    afterEach(async () => {
      await make().remove();
      await backend.destroy();
    });

    /** Whether one echo request is answered within half a second. */
    const pings = (host: Host, to: string) => host.succeeds('ping', '-c1', '-W0.5', to);
    /** Whether the handshake of a TCP connection from another host succeeds. */
    const connects = (host: Host, to: string) =>
      host.succeeds(
        process.execPath,
        '-e',
        `const s=require('net').connect(8080,'${to}');s.on('connect',()=>process.exit(0));
         s.on('error',()=>process.exit(1));setTimeout(()=>process.exit(1),700)`,
      );

    it('are what the contract says, as text', async () => {
      expect(await make().install()).toEqual({ families: [4, 6], queue: true, rejects: false, notes: [] });
      expect(saved(4, 'raw')).toBe(
        [
          ':BARRICATA - [0:0]',
          ':BARRICATA-OUT - [0:0]',
          '-A PREROUTING -j BARRICATA',
          '-A OUTPUT -j BARRICATA-OUT',
          '-A BARRICATA -m set --match-set barricata-allow4 src -j RETURN',
          '-A BARRICATA -m set --match-set barricata4 src -j DROP',
          '-A BARRICATA-OUT -m set --match-set barricata-allow4 dst -j RETURN',
          '-A BARRICATA-OUT -m set --match-set barricata4 dst -j DROP',
        ].join('\n'),
      );
      expect(saved(4, 'mangle')).toBe(
        [
          ':BARRICATA-FIRST - [0:0]',
          ':BARRICATA-ICMP - [0:0]',
          ':BARRICATA-QUEUE - [0:0]',
          '-A PREROUTING -j BARRICATA-FIRST',
          '-A BARRICATA-FIRST -i lo -j RETURN',
          '-A BARRICATA-FIRST -p icmp -g BARRICATA-ICMP',
          '-A BARRICATA-FIRST -p tcp -m tcp ! --tcp-flags ACK ACK -g BARRICATA-QUEUE',
          '-A BARRICATA-FIRST -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -g BARRICATA-QUEUE',
          '-A BARRICATA-FIRST -p tcp -m tcp --tcp-flags SYN,ACK ACK -m conntrack --ctstate INVALID,NEW -g BARRICATA-QUEUE',
          '-A BARRICATA-FIRST -p tcp -j RETURN',
          '-A BARRICATA-FIRST -p udp -j RETURN',
          '-A BARRICATA-FIRST ! -d 224.0.0.0/4 -m conntrack --ctstate NEW -g BARRICATA-QUEUE',
          '-A BARRICATA-FIRST -p sctp -m conntrack --ctstate INVALID -g BARRICATA-QUEUE',
          '-A BARRICATA-ICMP -p icmp -m icmp --icmp-type 3 -j RETURN',
          '-A BARRICATA-ICMP -p icmp -m icmp --icmp-type 11 -j RETURN',
          '-A BARRICATA-ICMP -p icmp -m icmp --icmp-type 12 -j RETURN',
          '-A BARRICATA-ICMP -g BARRICATA-QUEUE',
          '-A BARRICATA-QUEUE -m set ! --match-set barricata-alive4 src -m set ! --match-set barricata-allow4 src -j RETURN',
          '-A BARRICATA-QUEUE -m set ! --match-set barricata-alive4 src -j RETURN',
          '-A BARRICATA-QUEUE -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m set --match-set barricata-flood4 dst,dst -m set --match-set barricata-limit4 src -m hashlimit --hashlimit-above 2000/sec --hashlimit-burst 200 --hashlimit-mode dstip,dstport --hashlimit-name barricata-flood4-500 --hashlimit-htable-size 65536 --hashlimit-htable-max 65536 -j DROP',
          '-A BARRICATA-QUEUE -m set --match-set barricata-allow4 src -j RETURN',
          '-A BARRICATA-QUEUE -m set --match-set barricata-hot4 src -m set --match-set barricata-limit4 src -j DROP',
          '-A BARRICATA-QUEUE -m hashlimit --hashlimit-upto 100000/sec --hashlimit-burst 10000 --hashlimit-name barricata-first4-10 -j NFQUEUE --queue-num 7 --queue-bypass',
          '-A BARRICATA-QUEUE -m set --match-set barricata-limit4 src -m hashlimit --hashlimit-upto 100000/sec --hashlimit-burst 10000 --hashlimit-name barricata-look4-10 -m hashlimit --hashlimit-above 10000/sec --hashlimit-burst 1000 --hashlimit-mode srcip --hashlimit-name barricata-share4-100 --hashlimit-htable-size 65536 --hashlimit-htable-max 1048576 -j SET --add-set barricata-hot4 src --exist --timeout 10',
          '-A BARRICATA-QUEUE -j RETURN',
        ].join('\n'),
      );
      const six = saved(6, 'mangle').split('\n');
      expect(six.filter((rule) => rule.includes('-m icmp6')).length).toBe(20);
      expect(six).toContain('-A BARRICATA-ICMP -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j RETURN');
      expect(six.at(-2)).toContain('--hashlimit-srcmask 64 -j SET --add-set barricata-hot6 src --exist --timeout 10');
      expect(saved(4, 'filter')).toBe('');
    });

    it('spread over several queues when their numbers follow one another', async () => {
      const rules = make({ packets: () => packetPath([7, 8, 9]) });
      await rules.install();
      expect(saved(4, 'mangle')).toContain('-j NFQUEUE --queue-balance 7:9 --queue-bypass --queue-cpu-fanout');
      expect(await rules.verify()).toBe('ok');
      await expect(make({ packets: () => packetPath([7, 9]) }).install()).rejects.toMatchObject({ kind: 'refused' });
    });

    it('are the same after a second installation, with their counters', async () => {
      const rules = make();
      await rules.install();
      await ban(...ATTACKER);
      pings(attacker, '203.0.113.1');
      const before = everything();
      await rules.install();
      expect(everything()).toEqual(before);
      expect((await rules.dropped()).ipv4.packets).toBe(1);
    });

    it('drop every packet of a banned host of either family, and nobody else is hurt', async () => {
      const rules = make();
      await rules.install();
      expect([pings(attacker, '203.0.113.1'), connects(attacker, '203.0.113.1')]).toEqual([true, true]);
      expect([pings(attacker, '2001:db8:66::1'), connects(attacker, '2001:db8:66::1')]).toEqual([true, true]);
      await ban(...ATTACKER);
      expect([pings(attacker, '203.0.113.1'), connects(attacker, '203.0.113.1')]).toEqual([false, false]);
      expect([pings(attacker, '2001:db8:66::1'), connects(attacker, '2001:db8:66::1')]).toEqual([false, false]);
      expect([pings(innocent, '203.0.113.129'), connects(innocent, '2001:db8:77::1')]).toEqual([true, true]);
      const { ipv4, ipv6 } = await rules.dropped();
      expect(ipv4.packets).toBeGreaterThanOrEqual(2);
      expect(ipv6.packets).toBeGreaterThanOrEqual(2);
      expect((await backend.find('ban', prefix(ATTACKER[0])))?.packets).toBeGreaterThanOrEqual(2);
      await backend.apply('ban', [], ATTACKER.map(prefix));
      expect([pings(attacker, '203.0.113.1'), pings(attacker, '2001:db8:66::1')]).toEqual([true, true]);
    });

    it('drop a banned network, and an allowed address inside it passes', async () => {
      await make().install();
      await ban('203.0.113.0/24', '2001:db8:66::/48');
      expect([pings(attacker, '203.0.113.1'), pings(attacker, '2001:db8:66::1')]).toEqual([false, false]);
      expect(pings(innocent, '203.0.113.129')).toBe(false);
      await allow('203.0.113.66', '2001:db8:66::66');
      expect([pings(attacker, '203.0.113.1'), connects(attacker, '2001:db8:66::1')]).toEqual([true, true]);
      expect(pings(innocent, '203.0.113.129')).toBe(false);
    });

    it('end a connection that was established before the ban', async () => {
      await make().install();
      const heard: string[] = [];
      const accepted = new Promise<import('node:net').Socket>((resolve) => server.once('connection', resolve));
      attacker.spawn(
        process.execPath,
        [
          '-e',
          "const s=require('net').connect(8080,'203.0.113.1');setInterval(()=>s.write('x'),20);s.on('error',()=>{})",
        ],
        { stdio: 'ignore' },
      );
      const socket = await accepted;
      socket.on('data', (data) => heard.push(data.toString()));
      await waitFor('data before the ban', () => heard.length > 3);
      await ban(ATTACKER[0]);
      const dropped = async () => (await backend.find('ban', prefix(ATTACKER[0])))?.packets ?? 0;
      await waitFor('a dropped packet of the connection', async () => (await dropped()) > 0);
      const after = heard.length;
      const seen = await dropped();
      await waitFor('more dropped packets', async () => (await dropped()) > seen + 1);
      expect(heard.length).toBe(after);
      socket.destroy();
    });

    it('drop what this machine sends to a banned destination only with outbound blocking', async () => {
      // An address that no earlier connection used.
      const address = '203.0.113.67';
      const silent = () => {
        try {
          run('ping', '-c1', '-W0.5', address);
          return false;
        } catch {
          return true;
        }
      };
      const rules = make();
      await rules.install();
      expect(silent()).toBe(false);
      await ban(address);
      expect(silent()).toBe(true);
      expect(iptables('-t', 'raw', '-vxnL', 'BARRICATA-OUT')).toMatch(/\n +1 +84 DROP/);
      expect(iptables('-t', 'raw', '-vxnL', 'BARRICATA')).toMatch(/\n +0 +0 DROP/);
      expect((await rules.dropped()).ipv4).toEqual({ packets: 1, bytes: 84 });
      const inboundOnly = make({ outbound: false });
      await inboundOnly.install();
      expect(saved(4, 'raw')).not.toContain('BARRICATA-OUT');
      expect(await inboundOnly.verify()).toBe('ok');
      // The request leaves; its answer is dropped by the rule for sources. The count only grows.
      expect(silent()).toBe(true);
      expect((await rules.dropped()).ipv4).toEqual({ packets: 2, bytes: 168 });
    });

    it('never touch what others have in the same tables, installed or removed', async () => {
      iptables('-t', 'raw', '-N', 'THEIRS');
      iptables(
        '-t',
        'raw',
        '-A',
        'THEIRS',
        '-s',
        '192.0.2.1',
        '-m',
        'comment',
        '--comment',
        'it is "theirs"',
        '-j',
        'DROP',
      );
      iptables('-t', 'raw', '-A', 'PREROUTING', '-j', 'THEIRS');
      iptables('-t', 'raw', '-A', 'OUTPUT', '-p', 'udp', '--dport', '53', '-j', 'ACCEPT');
      iptables('-t', 'mangle', '-A', 'PREROUTING', '-p', 'tcp', '--dport', '1', '-j', 'MARK', '--set-mark', '1');
      iptables('-A', 'INPUT', '-s', '192.0.2.9', '-j', 'DROP');
      iptables('-P', 'FORWARD', 'DROP');
      const counters = () => run(`iptables-${variant}-save`, '-c').replace(/^#.*$/gm, '');
      try {
        const before = everything();
        const rules = make();
        await rules.install();
        expect(saved(4, 'raw')).toContain('-A PREROUTING -j BARRICATA\n-A PREROUTING -j THEIRS');
        expect(saved(4, 'filter')).toBe(before[2]);
        await rules.remove();
        expect(everything()).toEqual(before);
        expect(counters()).toContain(':FORWARD DROP');
      } finally {
        iptables('-P', 'FORWARD', 'ACCEPT');
        iptables('-F', 'INPUT');
        iptables('-t', 'mangle', '-F', 'PREROUTING');
        iptables('-t', 'raw', '-F');
        iptables('-t', 'raw', '-X', 'THEIRS');
      }
    });

    it('notice that their jump was moved down, and move it back to position 1', async () => {
      const rules = make({ outbound: false });
      await rules.install();
      expect(await rules.verify()).toBe('ok');
      iptables('-t', 'raw', '-I', 'PREROUTING', '-s', '203.0.113.66', '-j', 'ACCEPT');
      try {
        expect(await rules.verify()).toEqual({
          missing: ['IPv4: jump to BARRICATA from position 1 of PREROUTING of table raw'],
        });
        await ban(ATTACKER[0]);
        expect(pings(attacker, '203.0.113.1')).toBe(true);
        await rules.install();
        expect(await rules.verify()).toBe('ok');
        expect(pings(attacker, '203.0.113.1')).toBe(false);
        expect(saved(4, 'raw')).toContain('-A PREROUTING -j BARRICATA\n-A PREROUTING -s 203.0.113.66/32 -j ACCEPT');
      } finally {
        iptables('-t', 'raw', '-D', 'PREROUTING', '-s', '203.0.113.66', '-j', 'ACCEPT');
      }
    });

    it('notice each thing that is missing or too many, and put it right', async () => {
      const rules = make();
      const breakages: (() => void)[] = [
        () => iptables('-t', 'raw', '-F'),
        () => iptables('-t', 'raw', '-D', 'BARRICATA', '1'),
        () => iptables('-t', 'raw', '-I', 'BARRICATA', '-j', 'RETURN'),
        () => iptables('-t', 'raw', '-A', 'PREROUTING', '-j', 'BARRICATA'),
        () => iptables('-t', 'raw', '-D', 'OUTPUT', '-j', 'BARRICATA-OUT'),
        () => iptables('-t', 'mangle', '-F', 'PREROUTING'),
        () => iptables('-t', 'mangle', '-D', 'BARRICATA-QUEUE', '2'),
        () => iptables('-t', 'mangle', '-A', 'BARRICATA-ICMP', '-j', 'RETURN'),
        () => iptables('-t', 'mangle', '-I', 'PREROUTING', '-j', 'BARRICATA-QUEUE'),
        () => run(`ip6tables-${variant}`, '-t', 'raw', '-F', 'PREROUTING'),
      ];
      await rules.install();
      const right = everything();
      for (const damage of breakages) {
        damage();
        expect(await rules.verify()).not.toBe('ok');
        await rules.install();
        expect(await rules.verify()).toBe('ok');
        expect(everything()).toEqual(right);
      }
    });

    it('are removed also when only parts are left, and again when nothing is', async () => {
      const rules = make();
      await rules.install();
      iptables('-t', 'raw', '-A', 'PREROUTING', '-j', 'BARRICATA');
      iptables('-t', 'raw', '-A', 'PREROUTING', '-s', '192.0.2.0/24', '-j', 'BARRICATA');
      iptables('-t', 'mangle', '-F', 'PREROUTING');
      await make({ variant: variant === 'nft' ? 'legacy' : 'nft' }).remove();
      expect(everything().join('')).toBe('');
      await rules.remove();
      await backend.destroy();
    });

    it('say which set is missing when the sets were not made', async () => {
      await backend.destroy();
      await expect(make().install()).rejects.toMatchObject({ kind: 'missing' });
    });

    it('tell by a token, without a program, that somebody touched them', async () => {
      const watch = new RulesWatch();
      try {
        const none = watch.token();
        await make().install();
        const installed = watch.token();
        expect(installed).not.toBe(none);
        await ban('198.51.100.1');
        expect(watch.token()).toBe(installed);
        iptables('-t', 'raw', '-F', 'BARRICATA');
        expect(watch.token()).not.toBe(installed);
      } finally {
        watch.close();
      }
    });
  });
