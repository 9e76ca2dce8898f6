import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import { parseConfig } from '../../src/config/load.js';
import { prefix } from '../../src/net/prefix.js';
import { admits } from '../../src/protection/admits.js';
import { protectionFacts } from '../../src/protection/facts.js';
import { LiveFacts } from '../../src/protection/live-facts.js';
import { addressesWithoutNetlink } from '../../src/protection/own-addresses.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

/** One end of a veth pair, down; the other end is up and has no address. */
function addLink(name: string): void {
  run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`);
  run('ip', 'link', 'set', `${name}p`, 'up');
}

function raise(name: string): void {
  run('ip', 'link', 'set', name, 'up');
}

describe.skipIf(!hasFeatures('root'))('live facts of a real network namespace', () => {
  const config = parseConfig('home: 172.16.0.0/12', 'test.yaml');
  const facts = new LiveFacts({ clock: systemClock, log: createLog('silent') });
  const refusal = (text: string) =>
    admits(prefix(text), protectionFacts(config, facts.current().addresses, null, Date.now()))?.detail ?? null;

  beforeAll(async () => {
    enterPrivateNetns();
    await facts.start();
  });
  afterAll(() => facts.stop());

  it('protect an address within two seconds of its being added, and no longer than it is there', async () => {
    addLink('link0');
    raise('link0');
    expect(refusal('203.0.113.20')).toBeNull();
    run('ip', 'addr', 'add', '203.0.113.20/24', 'dev', 'link0');
    await waitFor(
      'the protection of the new address',
      () => refusal('203.0.113.20') === 'is own address 203.0.113.20',
      2000,
    );
    expect(refusal('203.0.113.0/24')).toBe('contains own address 203.0.113.20');
    run('ip', 'addr', 'del', '203.0.113.20/24', 'dev', 'link0');
    await waitFor('the end of the protection', () => refusal('203.0.113.20') === null, 2000);
  });

  it('know secondary addresses, both families, and those of interfaces that are down', async () => {
    addLink('link1');
    run('ip', 'addr', 'add', '198.51.100.20/24', 'dev', 'link1');
    run('ip', 'addr', 'add', '198.51.100.21/24', 'dev', 'link1');
    run('ip', 'addr', 'add', '2001:db8:7::20/64', 'dev', 'link1', 'nodad');
    facts.refresh();
    expect(facts.current().own).toEqual(expect.arrayContaining(['198.51.100.20', '198.51.100.21', '2001:db8:7::20']));
    expect(facts.current().problems).toEqual([]);
    raise('link1');
    const own = ['198.51.100.20', '198.51.100.21', '2001:db8:7::20'];
    expect(addressesWithoutNetlink()).toEqual(expect.arrayContaining(['127.0.0.1', ...own]));
    run('ip', 'link', 'set', 'link1', 'down');
    facts.refresh();
    expect(facts.current().own).toEqual(expect.arrayContaining(['198.51.100.20', '198.51.100.21']));
    // The fallback too: the kernel keeps local routes of IPv4 while the address is there, and takes IPv6 addresses off.
    expect(addressesWithoutNetlink()).toEqual(expect.arrayContaining(['198.51.100.20', '198.51.100.21']));
  });

  it('know this end of a point-to-point link, not the other', () => {
    addLink('link2');
    run('ip', 'addr', 'add', '203.0.113.1', 'peer', '203.0.113.2', 'dev', 'link2');
    facts.refresh();
    expect(facts.current().own).toContain('203.0.113.1');
    expect(facts.current().own).not.toContain('203.0.113.2');
  });

  it('know every gateway of both families', () => {
    addLink('link3');
    raise('link3');
    run('ip', 'addr', 'add', '192.0.2.2/24', 'dev', 'link3');
    run('ip', 'addr', 'add', '2001:db8:9::2/64', 'dev', 'link3', 'nodad');
    run('ip', 'route', 'add', 'default', 'via', '192.0.2.1');
    run('ip', 'route', 'add', '8.0.0.0/8', 'via', '192.0.2.254');
    run('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:9::1');
    facts.refresh();
    expect([...facts.current().gateways].sort()).toEqual(['192.0.2.1', '192.0.2.254', '2001:db8:9::1']);
    expect(refusal('192.0.2.1')).toBe('is gateway 192.0.2.1');
    expect(refusal('2001:db8:9::/64')).toMatch(/^contains (gateway|own address) /);
  });

  it('know hundreds of addresses, over several datagrams of the kernel', () => {
    addLink('link4');
    const lines = Array.from({ length: 600 }, (_, i) => `addr add 100.64.${i >> 8}.${i & 255}/32 dev link4`).join('\n');
    run('sh', '-c', `printf '%s\\n' "$1" | ip -batch -`, 'sh', lines);
    facts.refresh();
    expect(facts.current().own.filter((address) => address.startsWith('100.64.'))).toHaveLength(600);
  });
});
