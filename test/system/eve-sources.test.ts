/** Alerts that reach a real Barricata over a unix socket and through Redis; from a real Suricata, and through kills. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { inKernel, inRedis, isBanned, journaled, redisServers, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';
import { Suricata } from '../support/suricata.js';

const SERVER = '192.168.50.10';
const KEPT = 'suricata:barricata:testhost';
const numbered = (n: number) => Array.from({ length: n }, (_, i) => `198.51.100.${i + 1}`);
const line = (address: string) => alertLine(address).trimEnd();

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))(
  'alerts that come by other ways than a file',
  () => {
    const queue = new TestRedis('--port', '6379');
    let b: Barricata;
    const socket = () => `${b.folder}/run/eve.sock`;
    const cleanUps: (() => unknown)[] = [];

    beforeAll(async () => {
      enterPrivateNetns();
      await queue.start();
    });
    afterAll(() => queue.stop());
    beforeEach(() => {
      b = new Barricata();
    });
    afterEach(async () => {
      for (const clean of cleanUps.splice(0).reverse()) await clean();
      await b.stop().catch(() => undefined);
      b.cli('cleanup');
      await b.remove();
      queue.cli('FLUSHALL');
    });

    const configured = (...eve: string[]) => b.configure({ suricata: { eve } });
    const list = 'redis://127.0.0.1/0?list=suricata';
    const stream = 'redis://127.0.0.1/0?stream=suricata';

    it('are in status under the name of their source, and ban', async () => {
      configured(b.eve, `unix://${socket()}`, list, 'redis://127.0.0.1/0?stream=suricata8');
      writeFileSync(b.eve, alertLine('198.51.100.1'));
      await b.start();
      const writer = connect(socket());
      cleanUps.push(() => writer.destroy());
      writer.write(alertLine('198.51.100.2'));
      queue.cli('LPUSH', 'suricata', line('198.51.100.3'), '{}');
      queue.cli('XADD', 'suricata8', '*', 'eve', line('198.51.100.4'));
      await waitFor('all four are banned', () => inKernel(b).length === 4);
      expect(inRedis(b)).toEqual(numbered(4));
      await waitFor('all lines are counted', () => statusOf(b).eve[2]?.lines === 2);
      const { eve, ready, problems } = statusOf(b);
      expect(eve.map(({ source, opened, problem, lines, alerts }) => [source, opened, problem, lines, alerts])).toEqual(
        [
          [b.eve, true, null, 1, 1],
          [`unix://${socket()}`, true, null, 1, 1],
          [list, true, null, 2, 1],
          ['redis://127.0.0.1/0?stream=suricata8', true, null, 1, 1],
        ],
      );
      expect(eve.every(({ lagSeconds }) => lagSeconds < 1.5)).toBe(true);
      expect([ready, problems]).toEqual([true, []]);
      expect(b.cli('status').out).toContain(list);
    });

    it.each([
      ['list', list],
      ['stream', stream],
    ])(
      'in a %s and taken by a daemon that is killed before they are stored, ban once each when it is back',
      async (kind, entry) => {
        configured(entry);
        await b.start();
        const [pid] = redisServers(b);
        process.kill(pid as number, 'SIGSTOP');
        // Where this test fails, what cleans up must not wait for it.
        cleanUps.push(() => {
          for (const server of redisServers(b)) process.kill(server, 'SIGCONT');
        });
        const addresses = numbered(20);
        for (const address of addresses) {
          if (kind === 'list') queue.cli('LPUSH', 'suricata', line(address));
          else queue.cli('XADD', 'suricata', '*', 'eve', line(address));
        }
        const kept = () =>
          kind === 'list'
            ? Number(queue.cli('LLEN', KEPT))
            : Number(queue.cli('XPENDING', 'suricata', 'barricata').split('\n')[0]);
        await waitFor('some are taken', () => kept() > 0);
        await b.stop('SIGKILL');
        process.kill(pid as number, 'SIGCONT');
        await waitFor('its Redis answers', () => b.redis('PING') === 'PONG');
        await b.start();
        await waitFor('all are banned', () => inKernel(b).length === 20);
        expect(new Set(journaled(b, 'ban').values())).toEqual(new Set([1]));
        expect([...journaled(b, 'ban').keys()].sort()).toEqual([...addresses].sort());
        await waitFor('none is kept', () => kept() === 0);
      },
    );

    it('and are handled twice make no ban longer and no second one, and ban nobody again after an unban', async () => {
      configured(list);
      await b.start();
      const [one, two] = ['198.51.100.1', '198.51.100.2'];
      const lines = [line(one as string), line(two as string)];
      queue.cli('LPUSH', 'suricata', ...lines);
      await isBanned(b, two as string);
      const ends = b.redis('PEXPIRETIME', `barricata:ban:${one}`);
      expect(b.cli('unban', two as string, '--reason', 'a customer').code).toBe(0);
      await waitFor('none is kept', () => queue.cli('LLEN', KEPT) === '0');
      await b.stop('SIGKILL');
      // As a kill between the store and the removal leaves them.
      queue.cli('LPUSH', KEPT, ...lines);
      queue.cli('LPUSH', 'suricata', line('198.51.100.3'));
      await b.start();
      await isBanned(b, '198.51.100.3');
      expect(statusOf(b).eve[0]).toMatchObject({ alerts: 3, events: { taken_again: 2 } });
      expect(inRedis(b)).toEqual([one, '198.51.100.3']);
      expect(b.redis('PEXPIRETIME', `barricata:ban:${one}`)).toBe(ends);
      expect(journaled(b, 'ban').get(one as string)).toBe(1);
    });

    it('wait in their own Redis while the Redis of the blocklist is away, or go to the offline journal; none is lost', async () => {
      configured(list);
      await b.start();
      const [pid] = redisServers(b);
      process.kill(pid as number, 'SIGKILL');
      queue.cli('LPUSH', 'suricata', ...numbered(50).map(line));
      await waitFor('all are in the kernel', () => inKernel(b).length === 50);
      await waitFor('all are in Redis', () => inRedis(b).length === 50);
    });

    it('keep status from 0 while their Redis is away or holds something else under the key, by name', async () => {
      configured(list);
      await queue.kill();
      await b.start({ wait: false });
      await waitFor(
        'status says it',
        () => b.cli('status').err.includes(list) || b.cli('status').out.includes(list),
        15_000,
      );
      expect(b.cli('status', '-q').code).toBe(4);
      await queue.start();
      queue.cli('SET', 'suricata', 'x');
      await waitFor('it is named', () =>
        statusOf(b).problems.some((problem) => problem.includes('the key suricata is a string')),
      );
      expect(b.cli('status', '-q').code).toBe(4);
      queue.cli('DEL', 'suricata');
      await waitFor('status answers 0', () => b.cli('status', '-q').code === 0);
    });

    it('never ban the Redis that they come from', async () => {
      run('ip', 'address', 'add', '198.51.100.9/32', 'dev', 'lo');
      cleanUps.push(() => run('ip', 'address', 'delete', '198.51.100.9/32', 'dev', 'lo'));
      b.configure({ suricata: { eve: [list, 'redis://203.0.113.250:6379/0?list=suricata'] } });
      await b.start({ wait: false });
      await waitFor('the list is read', () => statusOf(b).eve[0]?.opened, 15_000);
      queue.cli('LPUSH', 'suricata', line('203.0.113.250'), line('198.51.100.1'));
      await isBanned(b, '198.51.100.1');
      expect(inRedis(b)).toEqual(['198.51.100.1']);
    });

    describe.skipIf(!hasFeatures('suricata'))('with a real Suricata', () => {
      let attacker: Host;
      const rule =
        'alert http any any -> any any (msg:"TEST /etc/passwd"; flow:established,to_server; http.uri; content:"/etc/passwd"; classtype:web-application-attack; sid:9000002; rev:1;)\n';
      const attack = (from: number) => {
        const request = ['-s', '-o', '/dev/null', '--max-time', '2', `http://${SERVER}/?f=/etc/passwd`];
        return attacker.succeeds('curl', '--interface', `203.0.113.${from}`, ...request);
      };
      const attackUntilBanned = (from: number) =>
        waitFor(
          `203.0.113.${from} is banned`,
          () => {
            const isIn = inKernel(b).includes(`203.0.113.${from}`);
            if (!isIn) attack(from);
            return isIn;
          },
          20_000,
          300,
        );

      beforeAll(async () => {
        run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
        const addresses = [60, 61, 62, 63].map((n) => `203.0.113.${n}/24`);
        attacker = new Host('attacker', addresses, ['203.0.113.1/24']);
        attacker.run('ip', 'route', 'add', 'default', 'via', '203.0.113.1');
        const web = spawn(process.execPath, ['-e', 'require("http").createServer((q, r) => r.end("hi")).listen(80)'], {
          stdio: 'ignore',
        });
        process.once('exit', () => web.kill('SIGKILL'));
        await waitFor('the web server answers', () => attack(60));
      });
      afterAll(() => attacker?.remove());

      const types = '      types: [{ alert: { metadata: yes, verdict: yes } }]\n';

      it('over a unix socket are lost while nobody listens, and ban from when Barricata does', async () => {
        configured(`unix://${socket()}`);
        const suricata = new Suricata(
          b.folder,
          [attacker.near],
          rule,
          `outputs:\n  - eve-log:\n      enabled: yes\n      filetype: unix_stream\n      filename: ${socket()}\n${types}  - eve-log:\n      enabled: yes\n      filetype: regular\n      filename: eve.json\n${types}`,
        );
        await suricata.start();
        cleanUps.push(() => suricata.stop());
        attack(60);
        const inFile = () => run('sh', '-c', `cat ${b.eve} 2>/dev/null | wc -l`).trim();
        await waitFor('Suricata has written the alert', () => inFile() === '1');
        await b.start();
        // Suricata connects when it has something to write, at most twice a second.
        await attackUntilBanned(61);
        expect(inKernel(b)).toEqual(['203.0.113.61']);
        expect(statusOf(b).eve[0]).toMatchObject({
          source: `unix://${socket()}`,
          opened: true,
          events: { connected: 1 },
        });
        await b.stop('SIGKILL');
        await b.start();
        await attackUntilBanned(62);
        expect(inKernel(b)).toEqual(['203.0.113.61', '203.0.113.62']);
      });

      it('in a Redis list wait while Barricata is away, and ban', async () => {
        configured(list);
        const suricata = new Suricata(
          b.folder,
          [attacker.near],
          rule,
          `outputs:\n  - eve-log:\n      enabled: yes\n      filetype: redis\n      redis: { server: 127.0.0.1, port: 6379, async: true, mode: list, key: suricata }\n${types}`,
        );
        await suricata.start();
        cleanUps.push(() => suricata.stop());
        attack(60);
        await waitFor('the alert is in the list', () => queue.cli('LLEN', 'suricata') === '1');
        await b.start();
        await isBanned(b, '203.0.113.60');
        attack(61);
        await isBanned(b, '203.0.113.61');
        expect(statusOf(b).eve[0]).toMatchObject({ source: list, lines: 2, alerts: 2, unusable: {} });
      });
    });
  },
);
