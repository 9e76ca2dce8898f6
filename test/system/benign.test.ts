/** What the packet path must leave alone, with the thresholds that are shipped: nobody is banned, nothing fails. */
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { CHECKED, Innocent, inHost, Lab, OPEN, PASSIVE, type Peer, SERVER, SERVER6, script } from '../support/lab.js';
import { type Host, run, waitFor } from '../support/netns.js';

interface Summary {
  readonly tried: number;
  readonly failed: number;
  readonly first: string;
}

/** Peers of the BitTorrent kind: addresses that one namespace has besides its own. */
const SWARM = Array.from({ length: 300 }, (_, i) => `198.19.${i >> 8}.${i & 255}`).slice(1);

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue', 'hping3', 'wrk'))('ordinary traffic', () => {
  let lab: Lab;
  let innocent: Innocent;
  let old: Sessions;
  let next = 0;

  const peer = (): Peer => lab.peers[next++] as Peer;
  const visits = async (from: Peer, host: string, options: Record<string, unknown>): Promise<Summary> => {
    const child = script(from, 'lab-load.mjs', 'visits', host, JSON.stringify(options));
    let said = '';
    child.stdout?.on('data', (bytes) => {
      said += bytes;
    });
    await new Promise((resolve) => child.on('close', resolve));
    return JSON.parse(said);
  };
  const page = (from: Host, url = `http://${SERVER}/`) =>
    inHost(from, 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', '--max-time', '5', url);

  beforeAll(async () => {
    lab = await Lab.open({ filter: { udp: { more_than: '2000/s per source', during: '3s', then: 'ban 10m' } } }, 16);
    // Nothing in this namespace has loaded conntrack yet.
    expect(run('iptables-save')).toBe('');
    old = await Sessions.open(peer(), 200);
    await lab.start();
    innocent = new Innocent(lab.client, `http://${SERVER}/`, 100);
  });

  afterAll(async () => {
    innocent?.stop();
    await lab?.close();
  });

  describe.concurrent('of many kinds at once', () => {
    it('a browser with 30 parallel connections, over IPv4 and IPv6', async () => {
      const from = peer();
      for (const host of [SERVER, `[${SERVER6}]`]) {
        const urls = Array.from({ length: 300 }, () => `http://${host}/`);
        const quiet = [
          '--no-progress-meter',
          '-Z',
          '--parallel-max',
          '30',
          '-H',
          'Connection: close',
          '-w',
          '%{http_code}\n',
        ];
        const outputs = urls.flatMap((url) => ['-o', '/dev/null', url]);
        const { output } = await inHost(from, 'curl', ...quiet, ...outputs);
        expect(output.trim().split('\n')).toEqual(urls.map(() => '200'));
      }
    });

    it('monitoring by ping, every 0.2 s and in bursts of 20', async () => {
      const [steady, bursts] = [peer(), peer()];
      const pings = [inHost(steady, 'ping', '-q', '-i', '0.2', '-c', '50', SERVER)];
      for (let host = 1; host <= 5; host++) {
        const burst = await inHost(bursts, 'ping', '-q', '-i', '0.01', '-c', '20', `192.168.50.${host}`);
        expect(burst.output).toContain('20 received');
      }
      for (const { output } of await Promise.all(pings)) expect(output).toContain('50 received');
    });

    it('a network of 200 clients behind one address', async () => {
      const options = { ports: OPEN, count: 1600, everyMs: 6, expect: 'hello', holdMs: 2500 };
      expect(await visits(peer(), SERVER, options)).toEqual({ tried: 1600, failed: 0, first: '' });
    });

    it('an administrator who knocks at closed ports first', async () => {
      const from = peer();
      for (let time = 0; time < 3; time++) {
        const knocks = { ports: [7000, 8000, 9000, 7001, 8001], count: 5, everyMs: 100, expect: 'refused' };
        expect(await visits(from, SERVER, knocks)).toEqual({ tried: 5, failed: 0, first: '' });
        const login = { ports: [22], count: 1, everyMs: 0, expect: 'hello' };
        expect(await visits(from, SERVER, login)).toEqual({ tried: 1, failed: 0, first: '' });
      }
    });

    it('IPv6 neighbour discovery', async () => {
      const from = peer();
      const own = Array.from({ length: 100 }, (_, i) => `${from.address6.slice(0, -2)}a:${(i + 1).toString(16)}`);
      // Duplicate address detection of each, then each is looked for by the server, and the server by them.
      for (const address of own) from.run('ip', 'address', 'add', `${address}/64`, 'dev', 'eth0');
      await waitFor('the addresses are their own', () => !from.run('ip', '-6', 'address').includes('tentative'), 5000);
      for (const address of own) {
        from.run('ip', '-6', 'neighbour', 'flush', 'dev', 'eth0');
        const { output } = await inHost(from, 'ping', '-6', '-q', '-c', '1', '-W', '2', '-I', address, SERVER6);
        expect(output).toContain('1 received');
      }
    });

    it('path MTU discovery, over IPv4 and IPv6', async () => {
      const far = peer();
      const addresses = putBehind(far, peer());
      for (const [i, server] of [SERVER, `[${SERVER6}]`].entries()) {
        expect((await page(far, `http://${server}/bytes/3000000`)).output).toBe('200 3000000');
        // The server was told, by a message that the filter let pass.
        expect(run('ip', 'route', 'get', addresses[i] as string)).toContain('mtu 1400');
      }
    });

    it('hundreds of peers who try a closed port once or twice', async () => {
      const from = peer();
      for (const address of SWARM) from.run('ip', 'address', 'add', `${address}/32`, 'dev', 'lo');
      run('ip', 'route', 'add', '198.19.0.0/23', 'via', from.address);
      const options = { ports: [6881], count: 2 * SWARM.length, everyMs: 8, expect: 'refused', from: SWARM };
      expect(await visits(from, SERVER, options)).toEqual({ tried: 2 * SWARM.length, failed: 0, first: '' });
    });

    it('backscatter of a flood that names this network as its source', async () => {
      const from = peer();
      const answers = [
        ['-S', '-A', '-s', '443', '-k', '-p', '++20000'],
        ['-R', '-A', '-s', '80', '-k', '-p', '++30000'],
        ['-R', '-s', '80', '-k', '-p', '++40000'],
      ];
      for (const kind of answers) await inHost(from, 'hping3', '-q', '-i', 'u2000', '-c', '1000', ...kind, SERVER);
      // Whose machine was flooded is a peer as before.
      expect((await page(from)).output).toBe('200 2048');
    });

    it('health checks: a connection every 100 ms to each of ten ports, closed as soon as it is open', async () => {
      const ports = Array.from({ length: CHECKED.count }, (_, i) => CHECKED.first + i);
      const options = { ports, count: 1000, everyMs: 10, expect: 'open' };
      expect(await visits(peer(), SERVER, options)).toEqual({ tried: 1000, failed: 0, first: '' });
    });

    it('200 sessions that are older than the daemon', async () => {
      expect(await old.goOn(20)).toEqual({ tried: 4000, failed: 0, first: '' });
    });

    it('100 passive transfers, each to a port of its own', async () => {
      const ports = Array.from({ length: 100 }, (_, i) => PASSIVE.first + i);
      const options = { ports, count: 100, everyMs: 60, expect: 'hello' };
      expect(await visits(peer(), SERVER, options)).toEqual({ tried: 100, failed: 0, first: '' });
    });
  });

  it('5,000 connections at once by wrk', async () => {
    // A server of its own, which this keeps busy altogether.
    const server = script(null, 'lab-server.mjs', '8000');
    try {
      await waitFor('the server', async () => (await page(lab.client, `http://${SERVER}:8000/`)).code === 0);
      const load = ['-t', '2', '-c', '5000', '-d', '6s', '--timeout', '10s', `http://${SERVER}:8000/`];
      const { output } = await inHost(peer(), 'wrk', ...load);
      expect(Number(/(\d+) requests in/.exec(output)?.[1]), output).toBeGreaterThan(5000);
      expect(output).not.toMatch(/Socket errors|Non-2xx/);
    } finally {
      server.kill('SIGKILL');
    }
  });

  it('bans nobody, drops nothing and disturbs nobody', async () => {
    const { queue, decisions } = statusOf(lab.barricata);
    expect(queue).toMatchObject({ dropped: 0, exceptions: 0 });
    expect(queue.detections).toEqual({});
    expect(queue.packets).toBeGreaterThan(3000);
    expect(decisions).toEqual({});
    expect(lab.banned()).toEqual([]);
    expect(innocent.attempts.length).toBeGreaterThan(50);
    expect(innocent.attempts.filter(({ ok }) => !ok)).toEqual([]);
  });
});

class Sessions {
  readonly #child: ReturnType<typeof script>;
  #said = '';

  private constructor(from: Peer, count: number) {
    this.#child = script(from, 'lab-load.mjs', 'sessions', SERVER, JSON.stringify({ ports: OPEN, count }));
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.#said = line;
    });
  }

  static async open(from: Peer, count: number): Promise<Sessions> {
    const sessions = new Sessions(from, count);
    await waitFor('the sessions are open', () => sessions.#said === 'open', 10_000);
    return sessions;
  }

  async goOn(rounds: number): Promise<Summary> {
    this.#child.stdin?.write(`${rounds}\n`);
    const said = await waitFor('the echoes', () => (this.#said.startsWith('{') ? this.#said : null), 60_000);
    return JSON.parse(said as string);
  }
}

/**
 * Puts `far` behind `router` and a link that takes only 1400 bytes, of which neither end knows.
 * @returns the addresses that `far` has there
 */
function putBehind(far: Peer, router: Peer): readonly [string, string] {
  const [address, address6] = ['198.19.4.66', '2001:db8:1900::66'];
  router.run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  run('ip', '-n', router.name, 'link', 'add', 'r0', 'mtu', '1400', 'type', 'veth', 'peer', 'r1', 'netns', far.name);
  for (const [host, device, last] of [
    [router, 'r0', '1'],
    [far, 'r1', '66'],
  ] as const) {
    host.run('ip', 'address', 'add', `198.19.4.${last}/24`, 'dev', device);
    host.run('ip', 'address', 'add', `2001:db8:1900::${last}/64`, 'dev', device, 'nodad');
    host.run('ip', 'link', 'set', device, 'up');
  }
  far.run('ip', 'route', 'replace', 'default', 'via', '198.19.4.1');
  far.run('ip', '-6', 'route', 'replace', 'default', 'via', '2001:db8:1900::1');
  run('ip', 'route', 'add', '198.19.4.0/24', 'via', router.address);
  run('ip', '-6', 'route', 'add', '2001:db8:1900::/64', 'via', router.address6);
  return [address, address6];
}
