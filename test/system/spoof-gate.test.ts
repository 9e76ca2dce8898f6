/** Whoever can be made to look like an attacker by forged packets is not banned for the fleet; an attacker who shows himself is. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inKernel, isBanned, journaled, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { GATEWAY, Innocent, inHost, Lab, type Peer, SERVER } from '../support/lab.js';
import { type Host, waitFor } from '../support/netns.js';

/** Seconds that an unproven ban lasts at most (limits.unproven), and those that the configuration asks for. */
const UNPROVEN = 600;
const ASKED = 3600;
const resolvers = [...readFileSync('/etc/resolv.conf', 'utf8').matchAll(/^nameserver (\d+\.\S+)/gm)].map(
  ([, address]) => address as string,
);

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue', 'hping3', 'nmap'))('the spoof gate', () => {
  let lab: Lab;
  /** Known by the connections that they completed. */
  let customer: Peer;
  let other: Peer;
  let third: Peer;
  let next = 0;

  const peer = (): Peer => lab.peers[next++] as Peer;
  const served = (from: Host) => from.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`);
  const fleetBans = () => lab.barricata.redis('--scan', '--pattern', 'barricata:ban:*').split('\n').filter(Boolean);
  const timeToLive = (key: string) => Number(lab.barricata.redis('TTL', key));
  /** A flood of `packets` in the name of somebody else, at its end. */
  const flood = (from: Peer, ...name: string[]) =>
    inHost(from, 'hping3', '-q', '-S', '-p', '443', '-i', 'u500', '-c', '5000', ...name, SERVER);
  const scans = () => statusOf(lab.barricata).queue.detections['port_scan'] ?? 0;
  const detections = () => Object.values(statusOf(lab.barricata).queue.detections).reduce((sum, one) => sum + one, 0);

  beforeAll(async () => {
    const then = `ban ${ASKED}s`;
    const filter = {
      syn: { more_than: '200/s per source', during: '3s', then },
      scan: { more_than: '30 ports per source', within: '60s', then },
    };
    lab = await Lab.open({ filter }, 13);
    await lab.start();
    [customer, other, third] = [peer(), peer(), peer()];
    for (let visit = 0; visit < 20; visit++) expect([customer, other, third].every(served)).toBe(true);
  });

  afterAll(() => lab?.close());

  it('bans a scanner who hides among decoys shortly and here only, and none of the decoys for the fleet', async () => {
    const scanner = peer();
    const decoys = `8.8.8.8,1.1.1.1,${customer.address},ME`;
    await inHost(scanner, 'nmap', '-n', '-Pn', '-sS', '--max-retries', '0', '-p', '1-300', '-D', decoys, SERVER);
    await isBanned(lab.barricata, scanner.address);
    const here = timeToLive(`barricata:local:testhost:${scanner.address}`);
    expect(here).toBeGreaterThan(0);
    expect(here).toBeLessThanOrEqual(UNPROVEN);
    expect(fleetBans()).toEqual([]);
    for (const decoy of ['8.8.8.8', '1.1.1.1']) {
      expect(inKernel(lab.barricata)).not.toContain(decoy);
      expect(journaled(lab.barricata, 'ban').has(decoy)).toBe(false);
    }
    // A client whose name was taken: at most a short ban of this host, which nobody else hears of.
    expect(timeToLive(`barricata:local:testhost:${customer.address}`)).toBeLessThanOrEqual(UNPROVEN);
  });

  it('bans a client who goes on asking while somebody scans in its name here only, and shortly, if at all', async () => {
    const asking = new Innocent(other, `http://${SERVER}/`, 30);
    try {
      await waitFor('it is served', () => asking.attempts.length > 50);
      const decoys = `${other.address},ME`;
      await inHost(peer(), 'nmap', '-n', '-Pn', '-sS', '--max-retries', '0', '-p', '1-300', '-D', decoys, SERVER);
      await waitFor('the scan was seen', () => scans() > 3, 3000);
    } finally {
      asking.stop();
    }
    expect(fleetBans()).toEqual([]);
    expect(timeToLive(`barricata:local:testhost:${other.address}`)).toBeLessThanOrEqual(UNPROVEN);
  });

  it('lets the gateway go on soon after a scan in its name', async () => {
    const before = scans();
    const decoys = `${GATEWAY},ME`;
    await inHost(peer(), 'nmap', '-n', '-Pn', '-sS', '--max-retries', '0', '-p', '1-300', '-D', decoys, SERVER);
    await waitFor('the scan was seen', () => scans() > before + 1, 3000);
    expect(inKernel(lab.barricata)).not.toContain(GATEWAY);
    const ended = Date.now();
    await waitFor('the gateway is served', () => served(lab.gateway), 90_000, 200);
    expect(Date.now() - ended).toBeLessThan(10_000);
  });

  it.each([
    ['the gateway', GATEWAY] as const,
    ['a public resolver', '9.9.9.9'] as const,
    ...resolvers.map((address) => ['the resolver of this machine', address] as const),
  ])('never bans %s (%s) for a flood in its name', async (_, address) => {
    const before = detections();
    await flood(peer(), '-a', address);
    await waitFor('the flood was seen', () => detections() > before, 3000);
    expect(fleetBans()).toEqual([]);
    expect(inKernel(lab.barricata)).not.toContain(address);
    expect(journaled(lab.barricata, 'ban').has(address)).toBe(false);
    // What was dropped meanwhile is over when the flood is.
    if (address === GATEWAY) await waitFor('the gateway is served', () => served(lab.gateway), 10_000, 200);
  });

  it('bans nobody for a flood from 100,000 random sources', async () => {
    const before = inKernel(lab.barricata);
    await inHost(peer(), 'hping3', '-q', '-S', '-p', '443', '-i', 'u40', '-c', '100000', '--rand-source', SERVER);
    const { queue } = statusOf(lab.barricata);
    expect(queue.packets + queue.unfiltered).toBeGreaterThan(0);
    // All that was queued is judged, and so decided, when the count stands still.
    let judged = queue.packets;
    await waitFor('all packets to be judged', () => {
      const before = judged;
      judged = statusOf(lab.barricata).queue.packets;
      return judged === before;
    });
    expect(inKernel(lab.barricata)).toEqual(before);
    expect(fleetBans()).toEqual([]);
  });

  it('bans a known customer for a flood in its name here only, and shortly, if at all', async () => {
    const before = detections();
    await flood(peer(), '-a', third.address);
    await waitFor('the flood was seen', () => detections() > before, 3000);
    expect(fleetBans()).toEqual([]);
    expect(timeToLive(`barricata:local:testhost:${third.address}`)).toBeLessThanOrEqual(UNPROVEN);
  });

  it('bans a scanner who completed connections for the fleet, for as long as the configuration says', async () => {
    const scanner = peer();
    await inHost(scanner, 'nmap', '-n', '-Pn', '-sT', '--max-retries', '0', '-p', '1-300', SERVER);
    await isBanned(lab.barricata, scanner.address);
    expect(lab.record(scanner.address)).toMatchObject({
      scope: 'ban',
      value: { source: 'filter', policy: 'port_scan', scope: 'fleet', proof: 'conntrack' },
    });
    expect(timeToLive(`barricata:ban:${scanner.address}`)).toBeGreaterThan(UNPROVEN);
    expect(fleetBans()).toEqual([`barricata:ban:${scanner.address}`]);
  });
});
