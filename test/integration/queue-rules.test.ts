/** Which packets reach the queue, by the counters of the real rules, packet by packet. */
import { createSocket } from 'node:dgram';
import { createServer, type Server } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FOREVER, systemClock } from '../../src/base/clock.js';
import type { FilterConfig } from '../../src/config/config.js';
import { parseConfig } from '../../src/config/load.js';
import { Commands } from '../../src/enforcement/command.js';
import { IpsetBackend } from '../../src/enforcement/ipset-backend.js';
import { Rules } from '../../src/enforcement/rules.js';
import { prefix } from '../../src/net/prefix.js';
import { refreshAlive } from '../../src/netlink/alive.js';
import { IpsetClient } from '../../src/netlink/ipset.js';
import { notAlive } from '../../src/netlink/limits.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run } from '../support/netns.js';
import { addressBytes, be16, icmp, ip, tcp } from '../support/packets.js';
import { Wire } from '../support/wire.js';

const basis = hasFeatures('root', 'ipset', 'nfqueue');
const variants = [
  ['nft', basis && hasFeatures('iptables-nft')],
  ['legacy', basis && hasFeatures('iptables-legacy')],
] as const;
if (basis) enterPrivateNetns();

const US = { 4: '192.0.2.1', 6: '2001:db8:9::1' } as const;
const THEM = { 4: '203.0.113.9', 6: '2001:db8:66::9' } as const;
const FLAGS = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

const filterOf = (yaml: string): FilterConfig => parseConfig(`filter:\n  ${yaml}\n`, 'test').filter;

for (const [variant, present] of variants)
  describe.skipIf(!present)(`what reaches the queue by iptables-${variant}`, () => {
    const commands = new Commands();
    const backend = new IpsetBackend({ gate: () => null, clock: systemClock, maxelem: 65_536 });
    let filter = filterOf('land: true');
    const path = () => ({ queue: { numbers: [7], whenOverloaded: 'accept', atMost: 100_000 } as const, filter });
    let rules: Rules;
    let wire: Wire;
    let client: IpsetClient;
    let port = 20_000;

    const install = async (yaml = 'land: true') => {
      filter = filterOf(yaml);
      rules = new Rules({ commands, variant, outbound: true, packets: path });
      expect((await rules.install()).notes).toEqual([]);
      await rules.queueCounts();
    };
    /** Packets that were queued while something happens. */
    const queuedBy = async (what: () => void | Promise<void>): Promise<number> => {
      const before = (await rules.queueCounts()).queued;
      refreshAlive(client);
      await what();
      return (await rules.queueCounts()).queued - before;
    };
    const families = [4, 6] as const;
    const segment = (family: 4 | 6, flags: number, to = 81) =>
      tcp({ source: THEM[family], target: US[family], port: to, sourcePort: port++, flags });
    const udp = (family: 4 | 6, to: number, size = 20) => {
      const payload = [...be16(port++), ...be16(to), ...be16(8 + size), 0, 0, ...new Array<number>(size).fill(7)];
      return ip(THEM[family], US[family], 17, payload);
    };

    beforeAll(() => {
      wire = new Wire([`${US[4]}/24`, `${US[6]}/64`]);
      run('ip', 'route', 'add', 'default', 'dev', wire.near);
      run('ip', '-6', 'route', 'add', 'default', 'dev', wire.near);
      client = IpsetClient.open();
    });
    afterAll(async () => {
      client.close();
      wire.close();
      await backend.close();
    });
    beforeEach(() => backend.open());
    afterEach(async () => {
      await rules.remove();
      await backend.destroy();
    });

    it('is every TCP packet that begins something, and none that could belong to a connection', async () => {
      await install();
      const { fin, syn, rst, psh, ack, urg } = FLAGS;
      const kinds: readonly (readonly [string, number, number])[] = [
        ['SYN', syn, 1],
        ['NULL', 0, 1],
        ['FIN', fin, 1],
        ['Xmas', fin | psh | urg, 1],
        ['SYN with FIN and ACK', syn | fin | ack, 1],
        ['RST', rst, 1],
        ['RST out of nowhere, with ACK', rst | ack, 1],
        ['FIN out of nowhere, with ACK', fin | ack, 1],
        ['ACK out of nowhere', ack, 1],
        ['the answer to a connection that nobody asked for', syn | ack, 0],
      ];
      for (const family of families) {
        for (const [name, flags, expected] of kinds) {
          const queued = await queuedBy(() => wire.send(segment(family, flags)));
          expect([family, name, queued]).toEqual([family, name, expected]);
        }
      }
    });

    it('is every ICMP packet except those that connections and neighbours need', async () => {
      await install();
      const needed = { 4: [3, 11, 12], 6: [1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143] } as const;
      for (const family of families) {
        const some = needed[family].map((type) => icmp(THEM[family], US[family], type));
        expect(
          await queuedBy(() => {
            for (const packet of some) wire.send(packet);
          }),
        ).toBe(0);
        const echo = icmp(THEM[family], US[family], family === 4 ? 8 : 128);
        expect(await queuedBy(() => wire.send(echo))).toBe(1);
      }
    });

    it('is UDP and rare protocols only where a detector looks at them', async () => {
      const rare = (family: 4 | 6, protocol: number, target: string = US[family]) =>
        ip(THEM[family], target, protocol, [...be16(port++), ...be16(port++), ...new Array<number>(28).fill(0)]);
      await install('scan: off');
      for (const family of families) {
        expect(await queuedBy(() => wire.send(udp(family, 53)))).toBe(0);
        for (const protocol of [47, 50, 132, 253])
          expect(await queuedBy(() => wire.send(rare(family, protocol)))).toBe(0);
      }
      await install('udp: { more_than: 2000/s per source, during: 3s, then: ban 10m }');
      for (const family of families) {
        expect(await queuedBy(() => wire.send(udp(family, 53)))).toBe(1);
        for (const protocol of [94, 253]) expect(await queuedBy(() => wire.send(rare(family, protocol)))).toBe(1);
        const routers = family === 4 ? '224.0.0.5' : 'ff02::5';
        expect(await queuedBy(() => wire.send(rare(family, 89, routers)))).toBe(0);
      }
    });

    it('is never a packet of an allowed source, nor of the loopback, nor anything without a worker', async () => {
      await install();
      const allowed = families.map((family) => prefix(THEM[family]));
      await backend.apply(
        'allow',
        allowed.map((one) => ({ prefix: one, until: FOREVER })),
        [],
      );
      const all = () => {
        for (const family of families) wire.send(segment(family, FLAGS.syn));
      };
      expect(await queuedBy(all)).toBe(0);
      await backend.apply('allow', [], allowed);
      expect(await queuedBy(all)).toBe(2);
      expect(await queuedBy(() => void run('ping', '-c1', '-W1', '127.0.0.1'))).toBe(0);
      const { unfiltered } = await rules.queueCounts();
      notAlive(client);
      all();
      expect((await rules.queueCounts()).unfiltered - unfiltered).toBe(2);
      await backend.apply(
        'allow',
        allowed.map((one) => ({ prefix: one, until: FOREVER })),
        [],
      );
      all();
      expect((await rules.queueCounts()).unfiltered - unfiltered).toBe(2);
    });

    describe('of connections', () => {
      let host: Host;
      let server: Server;
      beforeAll(async () => {
        host = new Host('c', ['198.51.100.7/24', '2001:db8:77::7/64'], ['198.51.100.1/24', '2001:db8:77::1/64']);
        const body = Buffer.alloc(3_000_000, 'x');
        server = createServer((_request, response) => void response.end(body));
        await new Promise<void>((resolve) => server.listen(8080, '::', resolve));
      });
      afterAll(() => {
        server.close();
        host.remove();
      });

      it('is the SYN alone, however much is transferred', async () => {
        await install();
        for (const target of ['198.51.100.1', '[2001:db8:77::1]']) {
          let received = '';
          const queued = await queuedBy(async () => {
            const child = host.spawn('sh', ['-c', `curl -s --max-time 5 http://${target}:8080/ | wc -c`], {
              stdio: ['ignore', 'pipe', 'ignore'],
            });
            child.stdout?.on('data', (text: Buffer) => {
              received += text.toString();
            });
            await new Promise((resolve) => child.on('close', resolve));
          });
          expect([Number(received), queued]).toEqual([3_000_000, 1]);
        }
      });

      it('is the first packet alone of a UDP conversation', async () => {
        await install('udp: { more_than: 2000/s per source, during: 3s, then: ban 10m }');
        const echo = createSocket('udp4', (text, from) => echo.send(text, from.port, from.address));
        await new Promise<void>((resolve) => echo.bind(5353, '198.51.100.1', resolve));
        const talk = `const s=require('dgram').createSocket('udp4');let n=0;
          s.on('message',()=>{if(++n===20)process.exit(0);s.send('x',5353,'198.51.100.1')});
          s.send('x',5353,'198.51.100.1');setTimeout(()=>process.exit(1),3000)`;
        let code: number | null = null;
        const queued = await queuedBy(async () => {
          const child = host.spawn(process.execPath, ['-e', talk]);
          code = await new Promise((resolve) => child.on('close', resolve));
        });
        echo.close();
        expect([code, queued]).toEqual([0, 1]);
      });
    });

    it('is what packet rules name, of packets that are no first packets, and nothing else', async () => {
      await install(`scan: off
  icmp: off
  ping_sweep: off
  rules:
    - { proto: udp, dport: [11211, 3000-3999, 5000], then: drop }
    - { proto: udp, sport: 19, then: drop }
    - { proto: tcp, flags: [syn, ack], to: [192.0.2.0/24, "2001:db8:9::/48"], then: ban 10m }
    - { proto: icmp, icmp_type: 8, larger_than: 100, then: drop }
    - { proto: icmpv6, icmp_type: 128, larger_than: 100, smaller_than: 300, then: drop }
    - { from: [203.0.113.128/25], then: drop }
    - { proto: udp, dport: 53, then: accept }`);
      const { syn, ack } = FLAGS;
      const echo = { 4: 8, 6: 128 } as const;
      for (const family of families) {
        const cases: readonly (readonly [string, Uint8Array, number])[] = [
          ['a listed port', udp(family, 11_211), 1],
          ['in a range', udp(family, 3500), 1],
          ['beside a range', udp(family, 4000), 0],
          ['accepted', udp(family, 53), 0],
          ['flags and network', segment(family, syn | ack), 1],
          ['other flags', segment(family, syn | ack | FLAGS.rst), 0],
          ['large echo', icmp(THEM[family], US[family], echo[family], 200), 1],
          ['small echo', icmp(THEM[family], US[family], echo[family], 60), 0],
          ['too big', icmp(THEM[family], US[family], family === 4 ? 3 : 2, 200), 0],
        ];
        for (const [name, packet, expected] of cases) {
          const queued = await queuedBy(() => wire.send(packet));
          expect([family, name, queued]).toEqual([family, name, expected]);
        }
      }
      const from = (source: string) => ip(source, US[4], 253, [...addressBytes(source), 0, 0, 0, 0]);
      expect(await queuedBy(() => wire.send(from('203.0.113.200')))).toBe(1);
      expect(await queuedBy(() => wire.send(from('203.0.113.20')))).toBe(0);
      expect(await queuedBy(() => wire.send(icmp('203.0.113.200', US[4], 8, 60)))).toBe(1);
    });

    it('follows the configuration, and chains that stay right keep their counters', async () => {
      await install();
      expect(await queuedBy(() => wire.send(segment(4, FLAGS.syn)))).toBe(1);
      const count = () =>
        run(`iptables-${variant}-save`, '-c', '-t', 'mangle')
          .split('\n')
          .find((line) => line.includes('NFQUEUE'))
          ?.split(':')[0];
      expect(count()).toBe('[1');
      filter = filterOf('udp: { more_than: 2000/s per source, during: 3s, then: ban 10m }');
      expect(await rules.verify()).not.toBe('ok');
      await rules.install();
      expect(count()).toBe('[1');
      expect(await queuedBy(() => wire.send(udp(4, 53)))).toBe(1);
      // The counters survive that the rules are made anew.
      run(`iptables-${variant}`, '-t', 'mangle', '-F', 'BARRICATA-QUEUE');
      await rules.install();
      expect(count()).toBe('[0');
      expect((await rules.queueCounts()).queued).toBe(2);
    });
  });
