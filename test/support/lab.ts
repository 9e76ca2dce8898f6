/**
 * A laboratory for the packet path: this process's namespace is a server behind a
 * real Barricata, joined to a gateway, to a client, and to any number of peers,
 * attackers or not, each in a namespace and a network of its own. What is measured of a
 * peer is measured by the kernel: when its first packet came, how many of its
 * packets came past the filter, and when the ban set began to hold it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Barricata } from './daemon.js';
import { enterPrivateNetns, Host, run, waitFor } from './netns.js';

export const SERVER = '192.168.50.10';
export const SERVER6 = '2001:db8:50::10';
/** The hosts of the server side, all of them addresses of one machine. */
export const NETWORK = '192.168.50.0/27';
export const NETWORK6 = '2001:db8:50::/123';
export const GATEWAY = '192.0.2.1';
/** Served on every address: web, others that greet, passive transfers, health checks. */
export const WEB = 80;
export const OPEN = [22, 443, 8080];
export const PASSIVE = { first: 50_000, count: 120 };
export const CHECKED = { first: 9001, count: 10 };

const program = (name: string) => fileURLToPath(new URL(`./${name}`, import.meta.url));

/** Starts a script of this folder in a host, or here; its standard output comes line by line. */
export function script(host: Host | null, name: string, ...args: string[]): ChildProcess {
  const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];
  const words = [program(name), ...args];
  return host === null ? spawn(process.execPath, words, { stdio }) : host.spawn(process.execPath, words, { stdio });
}

/** Runs a program in a host to its end, without blocking this thread. */
export function inHost(host: Host, command: string, ...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = host.spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes) => (output += bytes));
    child.on('close', (code) => resolve({ code: code ?? -1, output }));
  });
}

export interface Attempt {
  /** Date.now() when it began. */
  readonly at: number;
  readonly ms: number;
  readonly ok: boolean;
}

/** A client that asks for a page over a new connection, again and again, and never stops believing in it. */
export class Innocent {
  readonly attempts: Attempt[] = [];
  readonly #child: ChildProcess;

  constructor(host: Host, url: string, everyMs: number) {
    this.#child = script(host, 'lab-client.mjs', url, String(everyMs));
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.attempts.push(JSON.parse(line)),
    );
  }

  since(at: number): Attempt[] {
    return this.attempts.filter((attempt) => attempt.at >= at);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Connections that are opened as fast as wanted, see rush.mjs. */
export class Rush {
  readonly #child: ChildProcess;
  readonly #turns: { readonly at: number; readonly done: number; readonly odd: readonly Attempt[] }[] = [];

  /** @param pace milliseconds between two connections, or `x64` for 64 at a time */
  constructor(host: Host, pace: string, port: number, oddMs = 0) {
    this.#child = script(host, 'rush.mjs', SERVER, String(port), pace, String(oddMs));
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.#turns.push(JSON.parse(line)),
    );
  }

  /** Those that failed or took `oddMs`, by when they began. */
  odd(from: number, to = Number.POSITIVE_INFINITY): Attempt[] {
    return this.#turns.flatMap(({ odd }) => odd.filter(({ at }) => at >= from && at < to));
  }

  /** How many ended. */
  done(from: number, to = Number.POSITIVE_INFINITY): number {
    return this.#turns.reduce((sum, { at, done }) => sum + (at > from && at <= to ? done : 0), 0);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** A namespace that reaches the server through a network of its own. */
export class Peer extends Host {
  readonly address: string;
  readonly address6: string;
  /** Milliseconds since 1970 of the first packet of its own address, and of its ban; `null` until then. */
  first: number | null = null;
  banned: number | null = null;

  constructor(number: number) {
    const [four, six] = [`198.18.${number}`, `2001:db8:${(0x1000 + number).toString(16)}::`];
    super(`p${number}`, [`${four}.66/24`, `${six}66/64`], [`${four}.1/24`, `${six}1/64`]);
    this.address = `${four}.66`;
    this.address6 = `${six}66`;
    this.run('ip', 'route', 'add', 'default', 'via', `${four}.1`);
    this.run('ip', '-6', 'route', 'add', 'default', 'via', `${six}1`);
  }

  owns(address: string): boolean {
    const plain = address.replace(/\/\d+$/, '');
    return plain === this.address || plain.startsWith(this.address6.slice(0, -2));
  }
}

/** Packets that programs send; neighbour discovery and the like come by themselves. */
const PROBES = {
  iptables: [[]],
  ip6tables: [
    ['!', '-p', 'ipv6-icmp'],
    ['-p', 'ipv6-icmp', '--icmpv6-type', '128'],
  ],
};
/** What a peer's kernel sends by itself when it is answered. */
const RESET = ['-p', 'tcp', '--tcp-flags', 'RST', 'RST'];
const SEEN = { 4: 'lab-seen4', 6: 'lab-seen6' } as const;

export class Lab {
  barricata: Barricata;
  readonly client: Host;
  readonly gateway: Host;
  /** performance.now() when Barricata had started. */
  started = Number.POSITIVE_INFINITY;
  readonly peers: Peer[] = [];
  readonly #server: ChildProcess;
  #watch: ChildProcess | null = null;

  private constructor(changes: Record<string, unknown>) {
    // The gateway is the way to all who are not on a network of the server's own: random sources are answered there.
    this.gateway = new Host('gateway', [`${GATEWAY}/24`], ['192.0.2.10/24']);
    run('ip', 'route', 'add', 'default', 'via', GATEWAY);
    this.gateway.run('ip', 'route', 'add', 'default', 'via', '192.0.2.10');
    this.client = new Host('client', ['198.51.100.7/24', '2001:db8:7::7/64'], ['198.51.100.1/24', '2001:db8:7::1/64']);
    this.client.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    this.client.run('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:7::1');
    this.#server = script(null, 'lab-server.mjs', ...serverPorts().map(String));
    this.barricata = fresh(changes);
  }

  /**
   * Everything but Barricata, which `start` starts.
   * @param peers how many peers there are
   */
  static async open(changes: Record<string, unknown>, peers: number): Promise<Lab> {
    enterPrivateNetns();
    for (let host = 1; host < 31; host++) {
      run('ip', 'address', 'add', `192.168.50.${host}/32`, 'dev', 'lo');
      run('ip', 'address', 'add', `2001:db8:50::${host.toString(16)}/128`, 'dev', 'lo');
    }
    const lab = new Lab(changes);
    for (let number = 1; number <= peers; number++) lab.peers.push(new Peer(number));
    await waitFor('the server answers', () =>
      lab.client.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`),
    );
    return lab;
  }

  /** Starts Barricata and waits until it judges packets. */
  async start(): Promise<void> {
    await this.barricata.start();
    await waitFor('the worker is alive', () => this.barricata.elements('barricata-alive4').size > 0, 5000);
    this.started = performance.now();
  }

  /** Ends Barricata, with all that it left in the kernel, and puts another in its place, which is not started. */
  async renew(changes: Record<string, unknown> = {}): Promise<Barricata> {
    await this.#end();
    this.barricata = fresh(changes);
    return this.barricata;
  }

  async #end(): Promise<void> {
    await this.barricata.stop().catch(() => undefined);
    this.barricata.cli('cleanup');
    await this.barricata.remove();
  }

  async close(): Promise<void> {
    this.#watch?.kill('SIGKILL');
    this.#server.kill('SIGKILL');
    await this.#end();
    for (const host of [...this.peers, this.client, this.gateway]) host.remove();
  }

  /** Packets of a peer, whatever source they name, that came past the filter to this machine's sockets. */
  passed(peer: Peer): number {
    return ['iptables-save', 'ip6tables-save']
      .flatMap((program) => run(program, '-c', '-t', 'filter').split('\n'))
      .filter((line) => line.includes(`-A INPUT -i ${peer.near} `) && line.includes('lab'))
      .reduce((sum, line) => sum + Number(/^\[(\d+):/.exec(line)?.[1]), 0);
  }

  /** Every banned prefix in the kernel. */
  banned(): string[] {
    return ['barricata4', 'barricata6'].flatMap((set) => [...this.barricata.elements(set).keys()]);
  }

  /** The record of a ban and the kind of key that it is under; `null` when there is none. */
  record(address: string): { readonly scope: 'ban' | 'local'; readonly value: Record<string, unknown> } | null {
    const b = this.barricata;
    for (const [scope, key] of [
      ['ban', `barricata:ban:${address}`],
      ['local', `barricata:local:testhost:${address}`],
    ] as const) {
      const value = b.redis('GET', key);
      if (value !== '') return { scope, value: JSON.parse(value) };
    }
    return null;
  }

  /** From here on what peers send is counted, and the times of first packets and of bans are noted. */
  watch(): void {
    for (const family of [4, 6] as const)
      run('ipset', 'create', SEEN[family], 'hash:ip', 'family', family === 4 ? 'inet' : 'inet6');
    for (const peer of this.peers) count(peer);
    this.#watch = script(null, 'lab-watch.mjs', ...this.peers.flatMap((one) => [one.address, one.address6]));
    createInterface({ input: this.#watch.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { address, what, at } = JSON.parse(line) as { address: string; what: 'first' | 'banned'; at: number };
      const peer = this.peers.find((one) => one.address === address || one.address6 === address);
      if (peer !== undefined) peer[what] = at;
    });
  }
}

function fresh(changes: Record<string, unknown>): Barricata {
  const barricata = new Barricata(changes);
  writeFileSync(barricata.eve, '');
  return barricata;
}

function count(peer: Peer): void {
  for (const program of ['iptables', 'ip6tables'] as const) {
    const [own, seen] = program === 'iptables' ? [peer.address, SEEN[4]] : [peer.address6, SEEN[6]];
    run(program, '-A', 'INPUT', '-i', peer.near, ...RESET, '-j', 'ACCEPT');
    for (const probe of PROBES[program]) {
      run(program, '-A', 'INPUT', '-i', peer.near, ...probe, '-m', 'comment', '--comment', 'lab');
      run(program, '-t', 'raw', '-A', 'PREROUTING', '-s', own, ...probe, '-j', 'SET', '--add-set', seen, 'src');
    }
  }
}

function serverPorts(): number[] {
  const from = ({ first, count }: typeof PASSIVE) => Array.from({ length: count }, (_, i) => first + i);
  return [WEB, ...OPEN, ...from(CHECKED), ...from(PASSIVE)];
}
