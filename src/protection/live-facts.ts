/**
 * What must not be banned because of what it is to this machine now: its own
 * addresses, its gateways and resolvers, the peers of its SSH sessions, its
 * Redis. Looked at every second, or less often where looking takes long;
 * whatever cannot be read keeps what was read last, and is said in `problems`.
 */
import { lookup } from 'node:dns/promises';
import { BoundedRunner } from '../base/bounded-runner.js';
import { type Clock, systemClock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { createLog, type Log } from '../base/log.js';
import { type Address, parseAddress } from '../net/address.js';
import type { LiveAddress } from './facts.js';
import { beginningOf, gateways4, gateways6, resolvers } from './neighbours.js';
import { AddressDump, addressesWithoutNetlink } from './own-addresses.js';
import { EnvironmentSessions, logindSessions, type SshSession, utmpFileSessions } from './ssh-sessions.js';

const EVERY_MS = 1000;
/** One look takes a fifth of a millisecond; where it takes longer, the period grows to this many times its cost. */
const REST_FACTOR = 50;
/** A scan of processes costs more than the rest together. */
const ENVIRONMENT_EVERY_MS = 5000;
const REDIS_EVERY_MS = 60_000;
/** How long the peer of an SSH session stays protected after the session ended. */
const KEPT_AFTER_END_MS = 3_600_000;
const MOST_PEERS = 1000;

export interface LiveFactsPlaces {
  readonly proc: string;
  readonly resolvConf: readonly string[];
  readonly logind: string;
  readonly utmp: string;
}

export const PLACES: LiveFactsPlaces = {
  proc: '/proc',
  // The second is where systemd-resolved writes the servers behind its own 127.0.0.53.
  resolvConf: ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'],
  logind: '/run/systemd/sessions',
  utmp: '/run/utmp',
};

export interface LiveState {
  /** All that is protected, without repetition. */
  readonly addresses: readonly LiveAddress[];
  readonly own: readonly Address[];
  readonly gateways: readonly Address[];
  readonly resolvers: readonly Address[];
  /** Peers of SSH sessions, those that ended less than an hour ago included. */
  readonly sshPeers: readonly Address[];
  /** Where the sessions were read from: `logind`, `utmp`, `environ`; empty when from nowhere. */
  readonly sshSources: readonly string[];
  /** What could not be read, each with what follows from it. */
  readonly problems: readonly string[];
}

const NOTHING: LiveState = {
  addresses: [],
  own: [],
  gateways: [],
  resolvers: [],
  sshPeers: [],
  sshSources: [],
  problems: ['the addresses of this machine have not been read yet'],
};

interface Peer {
  readonly user: string;
  /** Monotonic, when the session was last seen. */
  lastSeen: number;
}

export class LiveFacts implements Service {
  readonly name = 'live facts';
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #places: LiveFactsPlaces;
  readonly #redisHosts: readonly string[];
  readonly #runner: BoundedRunner;
  readonly #listeners = new Set<() => void>();
  readonly #environment: EnvironmentSessions;
  readonly #peers = new Map<Address, Peer>();
  #dump: AddressDump | null = null;
  #noDump = false;
  #environmentAt = Number.NEGATIVE_INFINITY;
  #fromEnvironment: readonly SshSession[] | null = null;
  #redisAt = Number.NEGATIVE_INFINITY;
  readonly #redis = new Map<string, readonly Address[]>();
  #state: LiveState = NOTHING;
  #cost = 0;
  #known = '';
  #said = '';

  /** @param redisHosts names or addresses of external Redis servers, see `redisHostOf` */
  constructor(options: {
    clock: Clock;
    log: Log;
    places?: Partial<LiveFactsPlaces>;
    redisHosts?: readonly string[];
  }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#places = { ...PLACES, ...options.places };
    this.#redisHosts = options.redisHosts ?? [];
    this.#environment = new EnvironmentSessions(this.#places.proc);
    this.#runner = new BoundedRunner({
      task: async () => {
        const start = options.clock.monotonic();
        this.refresh();
        this.#cost = options.clock.monotonic() - start;
      },
      clock: options.clock,
      atLeast: EVERY_MS / 4,
      atMost: () => Math.max(EVERY_MS, this.#cost * REST_FACTOR),
      onError: (error) => this.#log.error({ error: messageOf(error) }, 'live facts could not be read'),
    });
  }

  /** Reads everything once, so that nothing is judged before the facts are there. */
  async start(): Promise<void> {
    this.refresh();
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
    this.#dump?.close();
    this.#dump = null;
  }

  current(): LiveState {
    return this.#state;
  }

  /** Calls `listener` after each change of what is protected. Returns what takes the listener away. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks again now; the runner does so every second. */
  refresh(): void {
    const problems: string[] = [];
    const own = this.#own(problems);
    const gateways = this.#gateways(problems);
    const servers = this.#resolvers();
    const { sources, peers } = this.#sessions(problems);

    const addresses = new Map<Address, string>();
    const add = (list: readonly Address[], what: string) => {
      for (const address of list) if (!addresses.has(address)) addresses.set(address, what);
    };
    add(own, 'own address');
    add(gateways, 'gateway');
    add(servers, 'resolver');
    for (const [address, { user }] of peers) add([address], user === '' ? 'ssh session' : `ssh session of ${user}`);
    add(this.#redisAddresses(), 'Redis server');
    this.#take({
      addresses: [...addresses].map(([address, what]) => ({ address, what })),
      own,
      gateways,
      resolvers: servers,
      sshPeers: [...peers.keys()],
      sshSources: sources,
      problems,
    });
  }

  #take(state: LiveState): void {
    this.#state = state;
    const said = state.problems.join('\n');
    if (said !== this.#said) {
      for (const problem of state.problems) this.#log.warn(problem);
      this.#said = said;
    }
    const known = state.addresses
      .map(({ address, what }) => `${address} ${what}`)
      .sort()
      .join('\n');
    if (known === this.#known) return;
    this.#known = known;
    for (const listener of this.#listeners) listener();
  }

  #own(problems: string[]): readonly Address[] {
    if (this.#dump === null && !this.#noDump) {
      try {
        this.#dump = AddressDump.open();
      } catch {
        // The foreign function interface is not to be had; it will not be later either.
        this.#noDump = true;
      }
    }
    if (this.#dump !== null) {
      try {
        return this.#dump.read();
      } catch (error) {
        problems.push(`own addresses could not be read (${messageOf(error)}): those read before stay protected`);
        this.#dump.close();
        this.#dump = null;
        return [...new Set([...this.#state.own, ...addressesWithoutNetlink(this.#places.proc)])];
      }
    }
    // The same addresses at a higher cost, so nothing that a person need act on.
    return addressesWithoutNetlink(this.#places.proc);
  }

  #gateways(problems: string[]): readonly Address[] {
    const four = beginningOf(`${this.#places.proc}/net/route`);
    const six = beginningOf(`${this.#places.proc}/net/ipv6_route`);
    if (four === null) {
      problems.push(`${this.#places.proc}/net/route could not be read: the gateways known before stay protected`);
      return this.#state.gateways;
    }
    if (four.cut || six?.cut) {
      problems.push('the routing table is long: only gateways of its first thousands of routes are protected');
    }
    return [...new Set([...gateways4(four.text), ...gateways6(six?.text ?? '')])];
  }

  #resolvers(): readonly Address[] {
    const texts = this.#places.resolvConf.flatMap((file) => beginningOf(file)?.text ?? []);
    // A file that is being replaced is away for a moment.
    if (texts.length === 0) return this.#state.resolvers;
    return [...new Set(texts.flatMap(resolvers))];
  }

  #sessions(problems: string[]): { sources: string[]; peers: ReadonlyMap<Address, Peer> } {
    const now = this.#clock.monotonic();
    const logind = logindSessions(this.#places.logind);
    const utmp = utmpFileSessions(this.#places.utmp, this.#places.proc);
    let sessions = [...(logind ?? []), ...(utmp ?? [])];
    const sources = [...(logind === null ? [] : ['logind']), ...(utmp === null ? [] : ['utmp'])];
    if (sessions.length === 0) {
      if (now - this.#environmentAt >= ENVIRONMENT_EVERY_MS) {
        this.#fromEnvironment = this.#environment.read(sources.length > 0);
        this.#environmentAt = now;
      }
      if (this.#fromEnvironment !== null) {
        sessions = [...this.#fromEnvironment];
        sources.push('environ');
      }
    }
    if (sources.length === 0) {
      problems.push(
        'no source of SSH sessions can be read (logind, utmp, environments of processes): the peers of SSH sessions are not protected; list your own address under never_ban',
      );
    }
    for (const { peer, user } of sessions) {
      // Taken out first, so that the map stays in the order of last sight.
      this.#peers.delete(peer);
      this.#peers.set(peer, { user, lastSeen: now });
    }
    for (const [peer, { lastSeen }] of this.#peers) {
      if (now - lastSeen > KEPT_AFTER_END_MS || (this.#peers.size > MOST_PEERS && lastSeen !== now)) {
        this.#peers.delete(peer);
      }
    }
    return { sources, peers: this.#peers };
  }

  /** Asks the resolver at most once a minute; the answer counts from the next look on. */
  async #resolveRedis(host: string): Promise<void> {
    try {
      const answers = await lookup(host, { all: true });
      this.#redis.set(
        host,
        answers.flatMap(({ address }) => parseAddress(address) ?? []),
      );
      this.#runner.wake();
    } catch (error) {
      // The addresses found before stay protected.
      this.#log.warn({ host, error: messageOf(error) }, 'the name of the Redis server does not resolve');
    }
  }

  #redisAddresses(): readonly Address[] {
    const now = this.#clock.monotonic();
    const isDue = now - this.#redisAt >= REDIS_EVERY_MS;
    if (isDue) this.#redisAt = now;
    return this.#redisHosts.flatMap((host) => {
      const literal = parseAddress(host);
      if (literal !== null) return [literal];
      // Not waited for: a resolver that is away must not hold up the other facts.
      if (isDue) void this.#resolveRedis(host);
      return this.#redis.get(host) ?? [];
    });
  }
}

/** Looks once, for a command that has no daemon of its own. Logs nothing: `problems` says what could not be read. */
export async function readLiveFacts(places?: Partial<LiveFactsPlaces>): Promise<LiveState> {
  const facts = new LiveFacts({ clock: systemClock, log: createLog('silent'), ...(places && { places }) });
  facts.refresh();
  await facts.stop();
  return facts.current();
}

/** The host of a `redis://` or `rediss://` address; `null` for a unix socket or none. */
export function redisHostOf(url: string | null): string | null {
  if (url === null || !/^rediss?:/.test(url) || !URL.canParse(url)) return null;
  return new URL(url).hostname.replace(/^\[(.*)\]$/, '$1') || null;
}
