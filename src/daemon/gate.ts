import { BoundedRunner } from '../base/bounded-runner.js';
import { type Clock, type EpochMs, FOREVER } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import type { ManualActs } from '../blocklist/manual.js';
import type { Config } from '../config/config.js';
import type { AddressWords } from '../net/address.js';
import { type Prefix, prefix, prefixOf, widthOf } from '../net/prefix.js';
import { PrefixSet } from '../net/prefix-set.js';
import { admits, lockout, type ProtectionFacts, type Refusal } from '../protection/admits.js';
import { type LiveAddress, nextExpiry, protectionFacts } from '../protection/facts.js';
import { isInfrastructure } from '../protection/infrastructure.js';
import { readLiveFacts } from '../protection/live-facts.js';

export interface GateOptions {
  readonly config: () => Config;
  /** What is protected because of what it is to this machine, as it is now. */
  readonly live: () => readonly LiveAddress[];
  /** The allow entries of the blocklist. */
  readonly allowed: () => Iterable<readonly [text: string, until: EpochMs]>;
  /** Something became protected, or is no longer. */
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** An allow entry that ends is noticed this soon after, ms. */
const SLACK = 50;
const LONGEST_WAIT = 60_000;

/**
 * The last gate with the facts of this moment: the configuration, the live
 * machine and the allow entries. They are gathered anew when one of them
 * changes, and when an entry among them ends.
 */
export class ProtectedFacts implements Service {
  readonly name = 'protections';
  readonly #o: GateOptions;
  readonly #ender: BoundedRunner;
  #facts: ProtectionFacts;
  #own: PrefixSet<true> = new PrefixSet();
  #size = 0;
  #nextEnd: EpochMs = FOREVER;

  constructor(options: GateOptions) {
    this.#o = options;
    this.#facts = protectionFacts(options.config(), [], null, options.clock.now());
    this.#ender = new BoundedRunner({
      task: async () => {
        if (this.#nextEnd <= options.clock.now()) this.rebuild();
      },
      clock: options.clock,
      atLeast: SLACK,
      atMost: () => Math.min(LONGEST_WAIT, Math.max(SLACK, this.#nextEnd - options.clock.now() + SLACK)),
      onError: (error) => options.log.error({ err: messageOf(error) }, 'the protections could not be gathered'),
    });
  }

  async start(): Promise<void> {
    this.rebuild();
    this.#ender.start();
  }

  async stop(): Promise<void> {
    await this.#ender.stop();
  }

  /** Protected prefixes, allow entries included. */
  get size(): number {
    return this.#size;
  }

  /** `null` admits a ban of this prefix. */
  refuse(target: Prefix): Refusal | null {
    return admits(target, this.#facts);
  }

  isInfrastructure(target: Prefix): boolean {
    return isInfrastructure(target) !== null;
  }

  /** Whether this is one of this machine's own addresses. */
  isOwn(words: AddressWords): boolean {
    return this.#own.get(prefixOf(words, widthOf(words.family))) !== undefined;
  }

  /** Gathers the facts again and says so. */
  rebuild(): void {
    const now = this.#o.clock.now();
    const config = this.#o.config();
    const allowed = new PrefixSet<true>();
    let nextEnd = nextExpiry(config, now) ?? FOREVER;
    for (const [text, until] of this.#o.allowed()) {
      allowed.set(prefix(text), true);
      nextEnd = Math.min(nextEnd, until);
    }
    const live = this.#o.live();
    const own = new PrefixSet<true>();
    for (const { address, what } of live) if (what.startsWith('own address')) own.set(prefix(address), true);
    this.#own = own;
    this.#facts = protectionFacts(config, live, allowed, now);
    this.#size = live.length + allowed.size + config.home.length + config.neverBan.listed.length;
    this.#nextEnd = nextEnd;
    this.#ender.wake();
    this.#o.onChange();
  }
}

/**
 * Asks the protections from outside the daemon, for a ban typed by a person;
 * also whether it would lock that person out.
 * @throws BlocklistError when the allow entries cannot be read
 */
export async function refusalOf(config: Config, target: Prefix, acts: ManualActs): Promise<Refusal | null> {
  const allowed = new PrefixSet<true>();
  for await (const page of acts.list('allow')) for (const entry of page) allowed.set(prefix(entry.address), true);
  const live = await readLiveFacts();
  const refusal = admits(target, protectionFacts(config, live.addresses, allowed, Date.now()));
  const session = lockout(target, process.env['SSH_CONNECTION'] ?? process.env['SSH_CLIENT']);
  if (session === null) return refusal;
  return {
    cause: refusal?.cause ?? 'this_machine',
    detail: refusal === null ? session.replace(/^it /, '') : `${refusal.detail}; ${session}`,
  };
}
