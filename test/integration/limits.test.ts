import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { IpsetBackend } from '../../src/enforcement/ipset-backend.js';
import { parseWords } from '../../src/net/address.js';
import { prefix } from '../../src/net/prefix.js';
import { refreshAlive } from '../../src/netlink/alive.js';
import { dumpSet, IpsetClient } from '../../src/netlink/ipset.js';
import { markFlooded, noLimits, notAlive, refreshLimits, unmarkFlooded } from '../../src/netlink/limits.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run } from '../support/netns.js';

const present = hasFeatures('root', 'ipset');
if (present) enterPrivateNetns();

describe.skipIf(!present)('what the packet worker tells the kernel', () => {
  const backend = new IpsetBackend({ gate: () => null, clock: systemClock, maxelem: 65_536 });
  let client: IpsetClient;

  const words = (text: string) => {
    const parsed = parseWords(text);
    if (parsed === null) throw new Error(text);
    return parsed;
  };
  const held = async (name: string) => {
    const found = [];
    for await (const page of dumpSet(name)) found.push(...page.map(({ text }) => text));
    return found.sort();
  };
  const sizes = () =>
    ['alive', 'limit', 'flood', 'hot'].map((kind) => {
      return (
        (client.header(`barricata-${kind}4`)?.elements ?? 0) + (client.header(`barricata-${kind}6`)?.elements ?? 0)
      );
    });

  beforeAll(() => {
    client = IpsetClient.open();
  });
  afterAll(async () => {
    client.close();
    await backend.destroy();
    await backend.close();
  });
  beforeEach(async () => {
    await backend.destroy();
    await backend.open();
  });

  it('is that limits may drop, for every address and three seconds', () => {
    refreshLimits(client);
    expect(run('ipset', 'list', 'barricata-limit4')).toMatch(/0\.0\.0\.0\/1 timeout [23]\b/);
    for (const text of ['192.0.2.1', '2001:db8::1']) {
      expect(client.test(`barricata-limit${prefix(text).family}`, prefix(text))).toBe(true);
    }
  });

  it('is which services are flooded, as ipset shows it', async () => {
    markFlooded(client, words('198.51.100.80'), 80, 5);
    markFlooded(client, words('198.51.100.80'), 443, 5);
    markFlooded(client, words('2001:db8::80'), 65_535, 5);
    expect(run('ipset', 'list', 'barricata-flood4')).toMatch(/198\.51\.100\.80,tcp:443 timeout [45]\b/);
    expect(await held('barricata-flood4')).toEqual(['198.51.100.80,tcp:443', '198.51.100.80,tcp:80']);
    expect(await held('barricata-flood6')).toEqual(['2001:db8::80,tcp:65535']);
    const service = { address: words('198.51.100.80'), port: 80, timeout: 0 };
    expect(client.testService('barricata-flood4', service)).toBe(true);
    expect(client.testService('barricata-flood4', { ...service, port: 81 })).toBe(false);
  });

  it('lasts longer when it is said again, and ends when it is taken back, also twice', async () => {
    markFlooded(client, words('198.51.100.80'), 80, 2);
    markFlooded(client, words('198.51.100.80'), 80, 60);
    expect(run('ipset', 'list', 'barricata-flood4')).toMatch(/tcp:80 timeout (60|5\d)\b/);
    unmarkFlooded(client, words('198.51.100.80'), 80);
    unmarkFlooded(client, words('198.51.100.80'), 80);
    expect(await held('barricata-flood4')).toEqual([]);
  });

  it('names the set that is missing, and the services that are too many', async () => {
    for (let port = 1; port <= 4096; port++) markFlooded(client, words('198.51.100.80'), port, 60);
    const one = () => markFlooded(client, words('198.51.100.80'), 5000, 60);
    expect(one).toThrow(/198\.51\.100\.80 port 5000 of set barricata-flood4: the set is full/);
    await backend.destroy();
    expect(one).toThrow(/barricata-flood4: the set does not exist/);
    expect(() => refreshLimits(client)).toThrow(/does not exist/);
    noLimits(client);
    notAlive(client);
  });

  it('is taken back at once: the limits alone, or all of it', () => {
    const tell = () => {
      refreshAlive(client);
      refreshLimits(client);
      markFlooded(client, words('2001:db8::80'), 80, 60);
      client.add('barricata-hot4', 4, [{ prefix: prefix('203.0.113.9'), timeout: 10 }]);
    };
    tell();
    expect(sizes()).toEqual([4, 4, 1, 1]);
    noLimits(client);
    expect(sizes()).toEqual([4, 0, 0, 0]);
    tell();
    notAlive(client);
    expect(sizes()).toEqual([0, 0, 0, 0]);
  });

  it('holds a /64 as one hot source, whichever of its addresses comes', () => {
    client.add('barricata-hot6', 6, [{ prefix: prefix('2001:db8:0:7::1'), timeout: 10 }]);
    expect(client.test('barricata-hot6', prefix('2001:db8:0:7:ffff::2'))).toBe(true);
    expect(client.test('barricata-hot6', prefix('2001:db8:0:8::1'))).toBe(false);
  });
});
