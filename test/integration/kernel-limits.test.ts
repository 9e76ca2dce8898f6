/** What the kernel settles by itself, with real floods: the limits and SYNPROXY. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FOREVER, systemClock } from '../../src/base/clock.js';
import { parseConfig } from '../../src/config/load.js';
import { Commands } from '../../src/enforcement/command.js';
import { hashLimit } from '../../src/enforcement/hash-limit.js';
import { IpsetBackend } from '../../src/enforcement/ipset-backend.js';
import type { PacketPath } from '../../src/enforcement/queue-chains.js';
import { type InstallResult, Rules } from '../../src/enforcement/rules.js';
import { parseWords } from '../../src/net/address.js';
import { prefix } from '../../src/net/prefix.js';
import { refreshAlive } from '../../src/netlink/alive.js';
import { IpsetClient } from '../../src/netlink/ipset.js';
import { markFlooded, noLimits, refreshLimits, unmarkFlooded } from '../../src/netlink/limits.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';
import { tcp } from '../support/packets.js';
import { Wire } from '../support/wire.js';

const basis = hasFeatures('root', 'ipset', 'nfqueue');
const variants = [
  ['nft', basis && hasFeatures('iptables-nft')],
  ['legacy', basis && hasFeatures('iptables-legacy')],
] as const;
if (basis) enterPrivateNetns();

const US = { 4: '192.0.2.1', 6: '2001:db8:9::1' } as const;
const SERVER = '198.51.100.1';
const OFFENDER = '203.0.113.66';

for (const [variant, present] of variants)
  describe.skipIf(!present)(`the kernel's own limits by iptables-${variant}`, () => {
    const commands = new Commands();
    const backend = new IpsetBackend({ gate: () => null, clock: systemClock, maxelem: 65_536 });
    let path: PacketPath;
    let rules: Rules;
    let wire: Wire;
    let client: IpsetClient;
    let host: Host;
    let server: ChildProcess;
    let port = 1024;

    const install = async (queue: Partial<PacketPath['queue']> = {}, yaml = 'land: true'): Promise<InstallResult> => {
      const { filter } = parseConfig(`filter:\n  ${yaml}\n`, 'test');
      path = { queue: { numbers: [7], whenOverloaded: 'accept', atMost: 1000, ...queue }, filter };
      rules = new Rules({ commands, variant, outbound: true, packets: () => path });
      const result = await rules.install();
      expect(await rules.verify()).toBe('ok');
      await rules.queueCounts();
      return result;
    };
    const nextPort = () => {
      port = port >= 65_000 ? 1024 : port + 1;
      return port;
    };
    const syn = (source: string, target: string, to = 81) =>
      wire.send(tcp({ source, target, port: to, sourcePort: nextPort() }));
    /** A different public source each time. */
    let seed = 0;
    const anybody = (): string => {
      seed += 1;
      const word = Math.imul(seed, 2_654_435_761) >>> 8;
      return `11.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
    };
    const alive = (mayDrop: boolean) => {
      refreshAlive(client);
      if (mayDrop) refreshLimits(client);
      else noLimits(client);
    };
    const hot = (family: 4 | 6) => client.header(`barricata-hot${family}`)?.elements;
    /** Packets to a port that the rules let through to the end of the path, where the test drops them. */
    const arrived = () => {
      const line = run(`iptables-${variant}-save`, '-c', '-t', 'filter')
        .split('\n')
        .find((one) => one.includes(`-A INPUT -i ${wire.near} `));
      return Number(/^\[(\d+):/.exec(line ?? '')?.[1]);
    };
    /** How many requests the server has answered with this one; 0 when it does not answer. */
    const fetched = () => {
      try {
        return Number(host.run('curl', '-sf', '--max-time', '2', `http://${SERVER}:8080/`));
      } catch {
        return 0;
      }
    };
    const floodedService = (address: string) => {
      const words = parseWords(address);
      if (words === null) throw new Error(address);
      return words;
    };

    beforeAll(async () => {
      wire = new Wire([`${US[4]}/24`, `${US[6]}/64`]);
      run('ip', 'route', 'add', 'default', 'dev', wire.near);
      run('ip', '-6', 'route', 'add', 'default', 'dev', wire.near);
      host = new Host('c', ['198.51.100.7/24'], [`${SERVER}/24`]);
      client = IpsetClient.open();
      // A process of its own, because this one waits for its commands without turning the event loop.
      const script = `let n=0;require('http').createServer((q,r)=>{r.setHeader('connection','close');r.end(String(++n))})
        .listen(8080,'::')`;
      server = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
      await waitFor('the server answers', fetched);
    });
    afterAll(async () => {
      server.kill('SIGKILL');
      client.close();
      host.remove();
      wire.close();
      await backend.close();
    });
    beforeEach(async () => {
      await backend.open();
      // What the wire brings ends here: no answers to sources that are nobody.
      run(`iptables-${variant}`, '-A', 'INPUT', '-i', wire.near, '-p', 'tcp', '-j', 'DROP');
      run(`ip6tables-${variant}`, '-A', 'INPUT', '-i', wire.near, '-p', 'tcp', '-j', 'DROP');
    });
    afterEach(async () => {
      await rules.remove();
      await backend.destroy();
      run(`iptables-${variant}`, '-F', 'INPUT');
      run(`ip6tables-${variant}`, '-F', 'INPUT');
    });

    it('hand at most at_most packets a second to the queue, and let the rest pass or drop it as configured', async () => {
      const flood = () => {
        for (let i = 0; i < 3000; i++) syn(anybody(), US[4]);
      };
      const outcome = async () => {
        const before = arrived();
        const began = performance.now();
        flood();
        const counts = await rules.queueCounts();
        const most = 100 + ((performance.now() - began) / 1000) * 1000 + 50;
        // The burst may not have grown back since the last time.
        expect(counts.queued).toBeGreaterThan(0);
        expect(counts.queued).toBeLessThanOrEqual(most);
        return { ...counts, arrived: arrived() - before };
      };
      await install();
      alive(true);
      let seen = await outcome();
      expect(seen).toMatchObject({ unfiltered: 3000 - seen.queued, limited: 0, arrived: 3000 });
      await install({ whenOverloaded: 'drop' });
      alive(true);
      seen = await outcome();
      // What goes to a queue that nobody listens to is dropped as well.
      expect(seen).toMatchObject({ unfiltered: 0, limited: 3000 - seen.queued, arrived: 0 });
      // Where verdicts may not drop, the kernel does not either.
      await install({ whenOverloaded: 'drop' });
      alive(false);
      seen = await outcome();
      expect(seen).toMatchObject({ unfiltered: 3000 - seen.queued, limited: 0, arrived: 3000 - seen.queued });
    });

    it('are printed as they were written, whatever the rate', async () => {
      await install();
      const rates = [1 / 60, 0.5, 10 / 60, 1e5, 999_999, 1e6, 1e9];
      for (let rate = 1; rate < 1_000_000; rate = Math.ceil(rate * 1.07)) rates.push(rate, rate / 60);
      for (const family of [4, 6] as const) {
        const written = rates.flatMap((perSecond, at) => {
          const of = { family, name: `t${at}`, when: 'above', perSecond, most: 4096 } as const;
          return [hashLimit(of), hashLimit({ ...of, per: 'source' }), hashLimit({ ...of, per: 'service' })];
        });
        const rules = written.map((text) => `-A RATES -p tcp ${text} -j RETURN`);
        const command = `ip${family === 6 ? '6' : ''}tables-${variant}`;
        const input = ['*mangle', ':RATES - [0:0]', ...rules, 'COMMIT', ''].join('\n');
        execFileSync(`${command}-restore`, ['--noflush'], { input });
        const printed = run(`${command}-save`, '-t', 'mangle').split('\n');
        run(command, '-t', 'mangle', '-F', 'RATES');
        run(command, '-t', 'mangle', '-X', 'RATES');
        expect(printed.filter((line) => line.startsWith('-A RATES'))).toEqual(rules);
      }
    });

    it('take up another rate while they are in force', async () => {
      const { queue, filter } = parseConfig('', 'test');
      await install({ atMost: 1000 });
      path = { queue: { ...queue, numbers: [7], atMost: 50 }, filter };
      await rules.install();
      alive(true);
      for (let i = 0; i < 1000; i++) syn(anybody(), US[4]);
      expect((await rules.queueCounts()).queued).toBeLessThan(50);
    });

    it('single out a source that alone exceeds a tenth of that, of either family, and nobody else', async () => {
      await install();
      alive(true);
      for (let i = 0; i < 5000; i++) syn(OFFENDER, US[4]);
      expect(client.test('barricata-hot4', prefix(OFFENDER))).toBe(true);
      expect(hot(4)).toBe(1);
      const before = await rules.queueCounts();
      for (let i = 0; i < 100; i++) syn(OFFENDER, US[4]);
      expect((await rules.queueCounts()).limited - before.limited).toBe(100);
      // Any address of a /64 is that source.
      for (let i = 0; i < 5000; i++) syn(`2001:db8:66::${i.toString(16)}`, US[6]);
      expect(hot(6)).toBe(1);
      expect(client.test('barricata-hot6', prefix('2001:db8:66::ffff:1'))).toBe(true);
      expect(fetched()).toBeGreaterThan(0);
    });

    it('end no connection of a hot source, and take no new one until it has cooled', async () => {
      await install();
      alive(true);
      const script = `const s=require('net').connect(8080,'${SERVER}',()=>console.log('open'));
        process.stdin.on('data',()=>s.write('GET / HTTP/1.0\\r\\n\\r\\n'));s.on('data',(d)=>process.stdout.write(d))`;
      const child = host.spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'ignore'] });
      let said = '';
      child.stdout?.on('data', (text: Buffer) => {
        said += text.toString();
      });
      await waitFor('the connection', () => said.includes('open'));
      client.add('barricata-hot4', 4, [{ prefix: prefix('198.51.100.7'), timeout: 60 }]);
      child.stdin?.write('x');
      await waitFor('its answer', () => said.includes('200 OK'));
      expect(fetched()).toBe(0);
      client.delete('barricata-hot4', 4, [prefix('198.51.100.7')]);
      expect(fetched()).toBeGreaterThan(0);
    });

    it('single out nobody below the share, among many sources, nor where verdicts may not drop', async () => {
      await install();
      alive(true);
      for (let i = 0; i < 8000; i++) {
        syn(anybody(), US[4]);
        if (i % 200 === 0) syn(OFFENDER, US[4]);
      }
      expect(hot(4)).toBe(0);
      alive(false);
      for (let i = 0; i < 5000; i++) syn(OFFENDER, US[4]);
      expect(hot(4)).toBe(0);
    });

    it('lose no new connection to 100,000 other sources: no table is full', async () => {
      await install();
      for (let round = 0; round < 10; round++) {
        alive(true);
        for (let i = 0; i < 10_000; i++) syn(anybody(), US[4]);
        expect(fetched()).toBeGreaterThan(0);
      }
      const { queued, unfiltered, limited } = await rules.queueCounts();
      // Each of them went one way or the other: none was lost in a match.
      expect(queued + unfiltered).toBeGreaterThanOrEqual(100_000);
      expect(limited).toBe(0);
      expect(hot(4)).toBe(0);
    });

    describe('on a flooded service', () => {
      const flooded = 'flood: { more_than: 200/s per destination }';
      /** How many of 2000 attempts arrive, and the most that may. */
      const attempts = async (source: () => string, to = 81) => {
        const before = arrived();
        const began = performance.now();
        for (let i = 0; i < 2000; i++) syn(source(), US[4], to);
        const most = 20 + ((performance.now() - began) / 1000) * 200 + 20;
        return { arrived: arrived() - before, most };
      };

      it('hold the attempts at the configured rate, of allowed sources too, and of no other service', async () => {
        await install({ atMost: 100_000 }, flooded);
        alive(true);
        markFlooded(client, floodedService(US[4]), 81, 5);
        for (const source of [anybody, () => '203.0.113.77']) {
          await backend.apply('allow', [{ prefix: prefix('203.0.113.77'), until: FOREVER }], []);
          const seen = await attempts(source);
          expect(seen.arrived).toBeGreaterThan(0);
          expect(seen.arrived).toBeLessThanOrEqual(seen.most);
        }
        expect((await attempts(anybody, 82)).arrived).toBe(2000);
        expect((await rules.queueCounts()).limited).toBeGreaterThan(3000);
      });

      it('end with the flood, and hold nothing where verdicts may not drop', async () => {
        await install({ atMost: 100_000 }, flooded);
        alive(true);
        markFlooded(client, floodedService(US[4]), 81, 60);
        expect((await attempts(anybody)).arrived).toBeLessThan(1000);
        unmarkFlooded(client, floodedService(US[4]), 81);
        expect((await attempts(anybody)).arrived).toBe(2000);
        markFlooded(client, floodedService(US[4]), 81, 60);
        noLimits(client);
        expect((await attempts(anybody)).arrived).toBe(2000);
      });

      describe('with SYNPROXY', () => {
        const synproxy = 'flood: { more_than: 200/s per destination, then: synproxy }';
        const loose = (value: 0 | 1) => run('sysctl', '-qw', `net.netfilter.nf_conntrack_tcp_loose=${value}`);
        /** SYNs that a machine has taken for the beginning of a connection, those of the last sources apart. */
        const halfOpen = (at?: Host) => {
          const args = ['-Hnt', 'state', 'syn-recv', 'sport', '= :8080'];
          const lines = (at === undefined ? run('ss', ...args) : at.run('ss', ...args)).split('\n');
          const last = lines.filter((line) => /192\.0\.2\.25[1-4]\b/.test(line)).length;
          return { flood: lines.length - 1 - last, last };
        };

        it('fall back to the rate where the machine is not set up for it, and say what to set', async () => {
          const { notes } = await install({}, synproxy);
          expect(notes).toHaveLength(2);
          expect(notes[0]).toMatch(
            /^IPv4: flooded services are held .*SYNPROXY needs net\.netfilter\.nf_conntrack_tcp_loose=0; .*sysctl -w/,
          );
          expect(run(`iptables-${variant}-save`)).not.toContain('SYNPROXY');
        });

        it('answer in its place, so that a real client gets through and the flood never reaches it', async () => {
          loose(0);
          try {
            expect((await install({ atMost: 100_000 }, synproxy)).notes).toEqual([]);
            run(`iptables-${variant}`, '-F', 'INPUT');
            await rules.install();
            alive(true);
            markFlooded(client, floodedService(SERVER), 8080, 60);
            const before = fetched();
            for (let round = 1; round <= 5; round++) {
              alive(true);
              for (let i = 0; i < 1000; i++) syn(`192.0.2.${2 + (i % 240)}`, SERVER, 8080);
              expect(halfOpen().flood).toBe(0);
              expect(fetched()).toBe(before + round);
            }
            // Without it the same flood does reach the service.
            noLimits(client);
            for (let i = 0; i < 50; i++) syn(`192.0.2.${251 + (i % 4)}`, SERVER, 8080);
            expect(halfOpen().last).toBeGreaterThan(0);
          } finally {
            loose(1);
          }
        });

        it('protect a service behind this machine, and one on IPv6', async () => {
          const far = new Host('s', ['203.0.113.7/24'], ['203.0.113.1/24']);
          const six = new Host('6', ['2001:db8:77::7/64'], ['2001:db8:77::1/64']);
          const script = `require('http').createServer((q,r)=>{r.setHeader('connection','close');r.end('1')}).listen(8080)`;
          run('sysctl', '-qw', 'net.ipv4.ip_forward=1');
          host.run('ip', 'route', 'add', 'default', 'via', SERVER);
          far.run('ip', 'route', 'add', 'default', 'via', '203.0.113.1');
          far.spawn(process.execPath, ['-e', script]);
          loose(0);
          try {
            expect((await install({ atMost: 100_000 }, synproxy)).notes).toEqual([]);
            for (const command of ['iptables', 'ip6tables']) run(`${command}-${variant}`, '-F', 'INPUT');
            await rules.install();
            const get = (from: Host, target: string) =>
              from.succeeds('curl', '-sfg', '-o', '/dev/null', '--max-time', '2', `http://${target}:8080/`);
            await waitFor('the service', () => get(host, '203.0.113.7'));
            alive(true);
            markFlooded(client, floodedService('203.0.113.7'), 8080, 60);
            markFlooded(client, floodedService('2001:db8:77::1'), 8080, 60);
            for (let round = 0; round < 3; round++) {
              alive(true);
              for (let i = 0; i < 1000; i++) {
                syn(`192.0.2.${2 + (i % 240)}`, '203.0.113.7', 8080);
                syn(`2001:db8:9::${2 + (i % 240)}`, '2001:db8:77::1', 8080);
              }
              expect([halfOpen(far).flood, halfOpen().flood]).toEqual([0, 0]);
              expect([get(host, '203.0.113.7'), get(six, '[2001:db8:77::1]')]).toEqual([true, true]);
            }
          } finally {
            loose(1);
            run('sysctl', '-qw', 'net.ipv4.ip_forward=0');
            host.run('ip', 'route', 'delete', 'default');
            far.remove();
            six.remove();
          }
        });
      });
    });
  });
