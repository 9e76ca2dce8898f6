import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, type EpochMs, FOREVER, systemClock } from '../../src/base/clock.js';
import { Commands } from '../../src/enforcement/command.js';
import { FakeBackend } from '../../src/enforcement/fake-backend.js';
import { IpsetBackend } from '../../src/enforcement/ipset-backend.js';
import { IpsetRestoreBackend } from '../../src/enforcement/ipset-restore.js';
import type { Gate, KernelElement, ListName, SetBackend, WantedElement } from '../../src/enforcement/set-backend.js';
import { type Prefix, prefix, prefixOf } from '../../src/net/prefix.js';
import { PrefixSet } from '../../src/net/prefix-set.js';
import { admits, type Protection, type ProtectionFacts } from '../../src/protection/admits.js';
import { FakeClock } from '../support/clock.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

const PROTECTED = ['10.0.0.0/8', '192.0.2.53', '2001:db8:53::53'].map(prefix);
const ALLOWED = prefix('198.18.0.7');

const facts: ProtectionFacts = {
  protected: new PrefixSet<Protection>(),
  allowed: new PrefixSet<true>(),
  bannablePrivate: [prefix('172.16.0.0/16')],
  widest: { ipv4: 16, ipv6: 32 },
};
for (const p of PROTECTED)
  (facts.protected as PrefixSet<Protection>).set(p, { cause: 'listed', what: 'listed network' });
(facts.allowed as PrefixSet<true>).set(ALLOWED, true);

/** The real judgement. */
const gate: Gate = (p) => admits(p, facts);

interface Rig {
  readonly clock: Clock;
  make(options?: { maxelem?: number; gate?: Gate }): SetBackend;
  /** Waits, in the time of the backend, until the condition holds; at most five seconds. */
  until(what: string, condition: () => Promise<boolean>): Promise<void>;
}

const real = (kind: (options: { gate: Gate; clock: Clock; maxelem: number }) => SetBackend): Rig => ({
  clock: systemClock,
  make: (options = {}) => kind({ gate, clock: systemClock, maxelem: 65_536, ...options }),
  until: (what, condition) => waitFor(what, condition, 5000, 50).then(() => undefined),
});

function fakeRig(): Rig {
  const clock = new FakeClock();
  return {
    clock,
    make: (options = {}) => new FakeBackend({ gate, clock, maxelem: 65_536, ...options }),
    async until(what, condition) {
      for (let moved = 0; moved < 5000; moved += 100) {
        if (await condition()) return;
        await clock.advance(100);
      }
      throw new Error(`not within 5 s: ${what}`);
    },
  };
}

const commands = new Commands();
const kernel = hasFeatures('root', 'ipset');
const rigs: readonly (readonly [string, boolean, () => Rig])[] = [
  ['fake', true, fakeRig],
  ['ipset', kernel, () => real((o) => new IpsetBackend(o))],
  ['ipset-restore', kernel, () => real((o) => new IpsetRestoreBackend({ ...o, commands }))],
];

if (kernel) enterPrivateNetns();

for (const [name, present, makeRig] of rigs)
  describe.skipIf(!present)(`the set backend ${name}`, () => {
    const onKernel = name === 'fake' ? () => {} : it;
    let rig: Rig;
    let backend: SetBackend;
    const inSeconds = (seconds: number): EpochMs => rig.clock.now() + seconds * 1000;
    const want = (text: string, seconds: number = 600): WantedElement => ({
      prefix: prefix(text),
      until: seconds === Number.POSITIVE_INFINITY ? FOREVER : inSeconds(seconds),
    });
    const add = (...elements: readonly WantedElement[]) => backend.apply('ban', elements, []);
    const dump = async (list: ListName = 'ban'): Promise<KernelElement[]> => {
      const elements: KernelElement[] = [];
      for await (const page of backend.dump(list)) elements.push(...page);
      return elements;
    };
    const texts = async (list: ListName = 'ban') => (await dump(list)).map((element) => element.text).sort();

    beforeEach(async () => {
      rig = makeRig();
      backend = rig.make();
      await backend.open();
    });
    afterEach(async () => {
      await backend.destroy();
      await backend.close();
    });

    it('says which kind it is', () => {
      expect(backend.name).toBe(name);
    });

    it('adds hosts and networks of both families, and lists each by its canonical text', async () => {
      const result = await add(
        want('203.0.113.9'),
        want('198.51.100.0/24'),
        want('2001:db8::9'),
        want('2001:db8:1::/48'),
      );
      expect(result).toEqual({ added: 4, removed: 0, refused: [], failed: [] });
      expect(await texts()).toEqual(['198.51.100.0/24', '2001:db8:1::/48', '2001:db8::9', '203.0.113.9']);
      expect(await texts('allow')).toEqual([]);
      expect(await backend.size('ban')).toMatchObject({ ipv4: 2, ipv6: 2 });
    });

    it('gives an element the seconds that are left, rounded up', async () => {
      await add({ prefix: prefix('203.0.113.9'), until: rig.clock.now() + 90_400 });
      const element = await backend.find('ban', prefix('203.0.113.9'));
      // The kernel reports whole seconds, rounded down.
      expect(element?.timeout).toBeGreaterThanOrEqual(90);
      expect(element?.timeout).toBeLessThanOrEqual(91);
    });

    it('lengthens and shortens the time of an element that is there', async () => {
      await add(want('203.0.113.9', 600));
      await add(want('203.0.113.9', 6000));
      expect((await backend.find('ban', prefix('203.0.113.9')))?.timeout).toBeGreaterThan(5900);
      await add(want('203.0.113.9', 60));
      expect((await backend.find('ban', prefix('203.0.113.9')))?.timeout).toBeLessThanOrEqual(60);
      expect(await backend.size('ban')).toMatchObject({ ipv4: 1 });
    });

    it('makes an element permanent and ends that again', async () => {
      await add(want('203.0.113.9', Number.POSITIVE_INFINITY), want('2001:db8::9', Number.POSITIVE_INFINITY));
      expect((await dump()).map((element) => element.timeout)).toEqual([0, 0]);
      await add(want('203.0.113.9', 600));
      expect((await backend.find('ban', prefix('203.0.113.9')))?.timeout).toBeGreaterThan(590);
    });

    it('keeps no element for longer than the kernel can, and never takes a long time for for ever', async () => {
      await add(want('203.0.113.9', 10 * 365 * 86_400));
      const timeout = (await backend.find('ban', prefix('203.0.113.9')))?.timeout ?? 0;
      expect(timeout).toBeGreaterThan(2_147_000);
      expect(timeout).toBeLessThanOrEqual(2_147_483);
    });

    it('skips an element that ends in less than a second, has ended, or ends at no time at all', async () => {
      const result = await add(
        { prefix: prefix('203.0.113.1'), until: rig.clock.now() + 900 },
        { prefix: prefix('203.0.113.2'), until: rig.clock.now() - 5000 },
        { prefix: prefix('203.0.113.3'), until: Number.NaN },
        want('203.0.113.4'),
      );
      expect(result).toMatchObject({ added: 1, refused: [], failed: [] });
      expect(await texts()).toEqual(['203.0.113.4']);
    });

    it('lets an element go when its time ends', async () => {
      await add(want('203.0.113.9', 1.2), want('203.0.113.10'));
      expect(await backend.size('ban')).toMatchObject({ ipv4: 2 });
      await rig.until('one element left', async () => (await backend.size('ban')).ipv4 === 1);
      expect(await texts()).toEqual(['203.0.113.10']);
      expect(await backend.find('ban', prefix('203.0.113.9'))).toBeNull();
    });

    it('removes what is there, and finds no fault in what is not', async () => {
      await add(want('203.0.113.9'), want('198.51.100.0/24'), want('2001:db8::9'));
      const result = await backend.apply('ban', [], ['203.0.113.9', '203.0.113.77', '2001:db8::9'].map(prefix));
      expect(result).toEqual({ added: 0, removed: 3, refused: [], failed: [] });
      expect(await texts()).toEqual(['198.51.100.0/24']);
    });

    it('removes before it adds', async () => {
      await backend.apply('ban', [want('203.0.113.9')], [prefix('203.0.113.9')]);
      expect(await texts()).toEqual(['203.0.113.9']);
    });

    it('keeps a host, the network around it and its neighbours as elements of their own', async () => {
      const elements = [
        '203.0.113.9',
        '203.0.113.0/24',
        '203.0.112.0/24',
        '203.0.112.0/23',
        '2001:db8::/64',
        '2001:db8::1',
      ];
      await add(...elements.map((text) => want(text)));
      expect(await texts()).toEqual([...elements].sort());
      await backend.apply('ban', [], [prefix('203.0.113.0/24')]);
      expect(await texts()).toEqual(elements.filter((text) => text !== '203.0.113.0/24').sort());
      expect(await backend.find('ban', prefix('203.0.113.0/24'))).toBeNull();
      expect(await backend.find('ban', prefix('203.0.113.10'))).toBeNull();
      expect(await backend.find('ban', prefix('203.0.113.9'))).toMatchObject({ text: '203.0.113.9' });
    });

    it('keeps bans and allows apart, and judges only bans', async () => {
      await backend.apply('allow', [want('10.0.0.5'), want('192.0.2.53')], []);
      await add(want('203.0.113.9'));
      expect(await texts('allow')).toEqual(['10.0.0.5', '192.0.2.53']);
      expect(await texts('ban')).toEqual(['203.0.113.9']);
    });

    it('refuses at the gate what is protected, is wider, holds a protected address or lies inside one', async () => {
      const bad: readonly (readonly [string, string])[] = [
        ['0.0.0.0', 'special'],
        ['127.0.0.1', 'special'],
        ['169.254.169.254', 'special'],
        ['224.0.0.1', 'special'],
        ['255.255.255.255', 'special'],
        ['::', 'special'],
        ['::1', 'special'],
        ['fe80::1', 'special'],
        ['ff02::1', 'special'],
        ['128.0.0.0/1', 'special'],
        ['10.1.2.3', 'listed'],
        ['10.0.0.0/8', 'listed'],
        ['8.0.0.0/6', 'listed'],
        ['192.0.2.0/24', 'listed'],
        ['192.0.2.53', 'listed'],
        ['2001:db8:53::/48', 'listed'],
        ['198.18.0.7', 'allowed'],
        ['198.18.0.0/24', 'allowed'],
        ['203.0.0.0/15', 'too_wide'],
        ['2600::/31', 'too_wide'],
        ['192.168.1.1', 'private'],
        ['fd00::1', 'private'],
      ];
      const result = await add(...bad.map(([text]) => want(text)), want('203.0.113.9'), want('172.16.0.1'));
      expect(result.added).toBe(2);
      expect(result.refused.map(({ element, refusal }) => [element.prefix.text, refusal.cause])).toEqual(bad);
      expect(result.refused[10]?.refusal.detail).toBe('lies inside listed network 10.0.0.0/8');
      expect(await texts()).toEqual(['172.16.0.1', '203.0.113.9']);
    });

    it('never holds anything that the gate refuses, whatever is asked for', async () => {
      const anyPrefix = fc
        .tuple(fc.constantFrom(4 as const, 6 as const), fc.integer(), fc.integer(), fc.nat(32))
        .map(([family, w0, w3, length]): Prefix => {
          // Half of them near what is protected.
          const near = [...PROTECTED, ALLOWED][Math.abs(w3) % 4] as Prefix;
          const words =
            w0 & 1
              ? {
                  ...near,
                  w0: near.w0 ^ (near.family === 4 ? w3 & 3 : 0),
                  w3: near.w3 ^ (near.family === 6 ? w3 & 3 : 0),
                }
              : { family, w0, w1: 0, w2: 0, w3: family === 6 ? w3 : 0 };
          return prefixOf(words, words.family === 4 ? length : length * 4);
        });
      await fc.assert(
        fc.asyncProperty(fc.array(anyPrefix, { maxLength: 60 }), async (prefixes) => {
          const result = await add(...prefixes.map((p) => ({ prefix: p, until: FOREVER })));
          const held = await dump();
          expect(held.filter((element) => gate(prefix(element.text)) !== null)).toEqual([]);
          expect(result.added + result.refused.length + result.failed.length).toBe(prefixes.length);
          const admitted = new Set(prefixes.filter((p) => p.length > 0 && gate(p) === null).map((p) => p.text));
          const there = new Set(held.map((element) => element.text));
          expect([...admitted].filter((text) => !there.has(text))).toEqual([]);
        }),
        { numRuns: 15 },
      );
    });

    it('reports a /0, which no set can hold, and applies the rest of the batch', async () => {
      const open = rig.make({ gate: () => null });
      await open.open();
      const result = await open.apply(
        'ban',
        [want('203.0.113.1'), want('0.0.0.0/0'), want('::/0'), want('203.0.113.2')],
        [],
      );
      expect(result.added).toBe(2);
      expect(result.failed.map(({ text, error }) => [text, error.kind])).toEqual([
        ['0.0.0.0/0', 'refused'],
        ['::/0', 'refused'],
      ]);
      expect(result.failed[0]?.error.message).toContain('two /1');
      if (name !== 'fake') expect(await texts()).toEqual(['203.0.113.1', '203.0.113.2']);
      await open.close();
    });

    it('reports each element that a full set does not take, and refreshes those that are there', async () => {
      await backend.destroy();
      const small = rig.make({ maxelem: 64 });
      await small.open();
      const hosts = Array.from({ length: 100 }, (_, i) => want(`203.0.113.${i}`));
      const first = await small.apply('ban', hosts, []);
      // A hash may refuse a little earlier than maxelem says, never later.
      expect(first.added).toBeGreaterThanOrEqual(60);
      expect(first.added).toBeLessThanOrEqual(64);
      expect(first.failed.length).toBe(100 - first.added);
      expect(new Set(first.failed.map(({ error }) => error.kind))).toEqual(new Set(['full']));
      const held = (await small.size('ban')).ipv4;
      expect(held).toBe(first.added);
      const again = await small.apply(
        'ban',
        hosts.map((element) => ({ ...element, until: inSeconds(6000) })),
        [],
      );
      expect(again.added).toBe(held);
      for await (const page of small.dump('ban')) for (const { timeout } of page) expect(timeout).toBeGreaterThan(5900);
      await small.close();
    });

    it('applies a batch of 20,000 of which one in a hundred is refused', async () => {
      const batch = Array.from({ length: 20_000 }, (_, i) =>
        want(
          i % 100 === 7
            ? `10.${i >> 8}.${i & 255}.1`
            : i % 2
              ? `203.${i >> 8}.${i & 255}.1`
              : `2001:db8:${i.toString(16)}::1`,
        ),
      );
      const result = await add(...batch);
      expect(result.refused.length).toBe(200);
      expect(result.failed).toEqual([]);
      expect(result.added).toBe(19_800);
      const size = await backend.size('ban');
      expect(size.ipv4 + size.ipv6).toBe(19_800);
      expect((await texts()).filter((text) => text.startsWith('10.'))).toEqual([]);
      const removed = await backend.apply(
        'ban',
        [],
        batch.map((element) => element.prefix),
      );
      expect(removed).toMatchObject({ removed: 20_000, failed: [] });
      expect(await texts()).toEqual([]);
    }, 30_000);

    it('adopts what is there when it is opened again, and leaves it when it is closed', async () => {
      await add(want('203.0.113.9'), want('2001:db8::9', Number.POSITIVE_INFINITY));
      await backend.open();
      expect(await texts()).toEqual(['2001:db8::9', '203.0.113.9']);
      await backend.close();
      expect(await texts()).toEqual(['2001:db8::9', '203.0.113.9']);
    });

    it('says so when the sets are gone, and makes them again', async () => {
      await add(want('203.0.113.9'));
      await backend.destroy();
      const gone = { kind: 'missing' };
      await expect(add(want('203.0.113.9'))).rejects.toMatchObject(gone);
      await expect(backend.apply('ban', [], [prefix('203.0.113.9')])).rejects.toMatchObject(gone);
      await expect(backend.size('ban')).rejects.toMatchObject(gone);
      await expect(dump()).rejects.toMatchObject(gone);
      await expect(backend.find('ban', prefix('203.0.113.9'))).rejects.toMatchObject(gone);
      await backend.open();
      expect(await texts()).toEqual([]);
      expect(await add(want('203.0.113.9'))).toMatchObject({ added: 1 });
    });

    it('destroys again without complaint', async () => {
      await backend.destroy();
      await backend.destroy();
    });

    it('applies nothing of an empty batch', async () => {
      expect(await add()).toEqual({ added: 0, removed: 0, refused: [], failed: [] });
    });

    it('counts an element that is asked for twice once', async () => {
      await add(want('203.0.113.9', 60), want('203.0.113.9', 600));
      expect(await backend.size('ban')).toMatchObject({ ipv4: 1 });
      expect((await backend.find('ban', prefix('203.0.113.9')))?.timeout).toBeGreaterThan(500);
    });

    onKernel('writes exactly what ipset shows', async () => {
      await add(want('203.0.113.9', Number.POSITIVE_INFINITY), want('198.51.100.0/24', Number.POSITIVE_INFINITY));
      await add(want('2001:db8:1::/48', Number.POSITIVE_INFINITY));
      const saved = run('ipset', 'save').replace(/ (hashsize|bucketsize|initval) \S+/g, '');
      expect(saved.trim().split('\n').sort()).toEqual(
        [
          'add barricata4 198.51.100.0/24 timeout 0 packets 0 bytes 0',
          'add barricata4 203.0.113.9 timeout 0 packets 0 bytes 0',
          'add barricata6 2001:db8:1::/48 timeout 0 packets 0 bytes 0',
          'create barricata-alive4 hash:net family inet maxelem 16 timeout 0',
          'create barricata-alive6 hash:net family inet6 maxelem 16 timeout 0',
          'create barricata-allow4 hash:net family inet maxelem 65536 timeout 0 counters',
          'create barricata-allow6 hash:net family inet6 maxelem 65536 timeout 0 counters',
          'create barricata-flood4 hash:ip,port family inet maxelem 4096 timeout 0',
          'create barricata-flood6 hash:ip,port family inet6 maxelem 4096 timeout 0',
          'create barricata-hot4 hash:ip family inet maxelem 1048576 timeout 10',
          'create barricata-hot6 hash:ip family inet6 maxelem 1048576 netmask 64 timeout 10',
          'create barricata-limit4 hash:net family inet maxelem 16 timeout 0',
          'create barricata-limit6 hash:net family inet6 maxelem 16 timeout 0',
          'create barricata4 hash:net family inet maxelem 65536 timeout 0 counters',
          'create barricata6 hash:net family inet6 maxelem 65536 timeout 0 counters',
        ].sort(),
      );
    });

    onKernel('rebuilds a set that was made otherwise, with what it held and the gate allows', async () => {
      await backend.destroy();
      run('ipset', 'create', 'barricata4', 'hash:net', 'maxelem', '100');
      run('ipset', 'add', 'barricata4', '203.0.113.0/24');
      run('ipset', 'add', 'barricata4', '10.0.0.1');
      run('ipset', 'create', 'barricata6', 'hash:net', 'family', 'inet6', 'timeout', '900', 'counters');
      run('ipset', 'add', 'barricata6', '2001:db8::9', 'timeout', '500');
      run('ipset', 'create', 'barricata-allow4', 'hash:ip', 'timeout', '0');
      run('ipset', 'add', 'barricata-allow4', '192.0.2.7');
      // What an interrupted rebuild leaves.
      run('ipset', 'create', 'barricata4-next', 'hash:net');
      run('iptables', '-t', 'raw', '-A', 'PREROUTING', '-m', 'set', '--match-set', 'barricata4', 'src', '-j', 'DROP');
      try {
        await backend.open();
        expect(await texts()).toEqual(['2001:db8::9', '203.0.113.0/24']);
        expect((await backend.find('ban', prefix('2001:db8::9')))?.timeout).toBeGreaterThan(490);
        expect(await texts('allow')).toEqual(['192.0.2.7']);
        expect(run('ipset', 'list', '-t', 'barricata4')).toMatch(
          /maxelem 65536.* timeout 0 counters[\s\S]*References: 1/,
        );
        expect(run('ipset', 'list', '-n')).not.toContain('-next');
        expect(await add(want('203.0.113.9', 60))).toMatchObject({ added: 1 });
        await expect(backend.destroy()).rejects.toMatchObject({ kind: 'refused' });
      } finally {
        run('iptables', '-t', 'raw', '-F', 'PREROUTING');
      }
    });

    onKernel(
      'rebuilds a helper set that could not grow, or would not merge a /64, and keeps one that is right',
      async () => {
        for (const name of ['barricata-hot4', 'barricata-hot6', 'barricata-flood4']) run('ipset', 'destroy', name);
        run('ipset', 'create', 'barricata-hot4', 'hash:ip', 'maxelem', '1048576', 'timeout', '10');
        const wide = ['hashsize', '262144', 'maxelem', '1048576', 'timeout', '10'];
        run('ipset', 'create', 'barricata-hot6', 'hash:ip', 'family', 'inet6', ...wide);
        run('ipset', 'create', 'barricata-flood4', 'hash:net', 'timeout', '0');
        run('ipset', 'add', 'barricata-flood6', '2001:db8::1,tcp:80', 'timeout', '60');
        await backend.open();
        const header = (name: string) => run('ipset', 'list', '-t', name);
        expect(header('barricata-hot4')).toContain('hashsize 262144');
        expect(header('barricata-hot6')).toContain('netmask 64');
        expect(header('barricata-flood4')).toContain('Type: hash:ip,port');
        expect(run('ipset', 'list', 'barricata-flood6')).toMatch(/2001:db8::1,tcp:80 timeout (60|5\d)/);
      },
    );

    onKernel('takes a set that somebody made anew without counters for a missing one, and mends it', async () => {
      run('ipset', 'destroy', 'barricata4');
      run('ipset', 'create', 'barricata4', 'hash:net', 'timeout', '0');
      const bans = [want('203.0.113.1'), want('203.0.113.2')].map((element) => ({ ...element, fresh: true }));
      await expect(add(...bans)).rejects.toMatchObject({ kind: 'missing' });
      await backend.open();
      expect(await add(...bans)).toMatchObject({ added: 2, failed: [] });
    });

    onKernel('destroys its own sets and no other', async () => {
      run('ipset', 'create', 'neighbour', 'hash:ip');
      run('ipset', 'create', 'barricata-someone', 'hash:ip');
      try {
        await backend.destroy();
        expect(run('ipset', 'list', '-n').trim().split('\n').sort()).toEqual(['barricata-someone', 'neighbour']);
      } finally {
        run('ipset', 'destroy', 'neighbour');
        run('ipset', 'destroy', 'barricata-someone');
      }
    });

    onKernel(
      'counts packets per element, keeps the count over a refresh, and begins at 0 for a fresh one',
      async () => {
        run('iptables', '-t', 'raw', '-A', 'OUTPUT', '-m', 'set', '--match-set', 'barricata4', 'dst');
        const address = '203.0.113.99';
        run('ip', 'address', 'add', address, 'dev', 'lo');
        const packets = async () => (await backend.find('ban', prefix(address)))?.packets;
        try {
          await add({ ...want(address), fresh: true });
          expect(await packets()).toBe(0);
          run('ping', '-c', '3', '-i', '0.01', address);
          // Requests, and the replies that go back to the same address.
          const counted = (await packets()) ?? 0;
          expect(counted).toBeGreaterThanOrEqual(3);
          await add(want(address, 1.2));
          expect(await packets()).toBe(counted);
          await rig.until('the element ends', async () => (await backend.size('ban')).ipv4 === 0);
          await add({ ...want(address), fresh: true });
          expect(await packets()).toBe(0);
          await backend.apply('ban', [], [prefix(address)]);
          await add(want(address));
          expect(await packets()).toBe(0);
        } finally {
          run('ip', 'address', 'delete', address, 'dev', 'lo');
          run('iptables', '-t', 'raw', '-F', 'OUTPUT');
        }
      },
    );

    onKernel('tells whether rules refer to the sets of both families', async () => {
      expect((await backend.size('ban')).referenced).toBe(false);
      run('iptables', '-t', 'raw', '-A', 'OUTPUT', '-m', 'set', '--match-set', 'barricata4', 'dst');
      expect((await backend.size('ban')).referenced).toBe(false);
      run('ip6tables', '-t', 'raw', '-A', 'OUTPUT', '-m', 'set', '--match-set', 'barricata6', 'dst');
      expect((await backend.size('ban')).referenced).toBe(true);
      run('iptables', '-t', 'raw', '-F', 'OUTPUT');
      run('ip6tables', '-t', 'raw', '-F', 'OUTPUT');
    });
  });
