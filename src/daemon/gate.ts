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
  readonly allowed: {
    entries(): Iterable<readonly [text: string, until: EpochMs]>;
    get(text: string): EpochMs | undefined;
  };
  /** These bans (canonical texts), or all, have to be judged again. */
  readonly onChange: (texts: readonly string[] | 'all') => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** An allow entry that ends is noticed this soon after, ms. */
const SLACK = 50;
const LONGEST_WAIT = 60_000;
/** Beyond this many changed entries one look at everything is cheaper. */
const ONE_BY_ONE = 256;

/**
 * The last gate with the facts of this moment: the configuration, the live
 * machine and the allow entries. What changes is changed in place, and only the
 * bans that it concerns are judged again, so that one allow entry or one SSH
 * login costs the same whatever the size of the list.
 */
export class ProtectedFacts implements Service {
  readonly name = 'protections';
  readonly #o: GateOptions;
  readonly #ender: BoundedRunner;
  readonly #allowed = new PrefixSet<EpochMs>();
  #facts: ProtectionFacts;
  #live: readonly LiveAddress[] = [];
  #own: PrefixSet<true> = new PrefixSet();
  #nextEnd: EpochMs = FOREVER;

  constructor(options: GateOptions) {
    this.#o = options;
    this.#facts = protectionFacts(options.config(), [], this.#allowed, options.clock.now());
    this.#ender = new BoundedRunner({
      task: async () => {
        if (this.#nextEnd <= options.clock.now()) this.#end();
      },
      clock: options.clock,
      atLeast: SLACK,
      atMost: () => Math.min(LONGEST_WAIT, Math.max(SLACK, this.#nextEnd - options.clock.now() + SLACK)),
      onError: (error) => options.log.error({ err: messageOf(error) }, 'the protections could not be gathered'),
    });
  }

  async start(): Promise<void> {
    this.reconfigured();
    this.#ender.start();
  }

  async stop(): Promise<void> {
    await this.#ender.stop();
  }

  /** Protected prefixes, allow entries included. */
  get size(): number {
    const { home, neverBan } = this.#o.config();
    return this.#live.length + this.#allowed.size + home.length + neverBan.listed.length;
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

  /** The configuration is another: everything is judged again. */
  reconfigured(): void {
    this.#gather();
    this.#o.onChange('all');
  }

  /** The live machine changed: an address, a gateway, a resolver, an SSH session. */
  liveChanged(): void {
    const before = new Map(this.#live.map(({ address, what }) => [address, what]));
    this.#gather();
    const changed: string[] = [];
    for (const { address, what } of this.#live) {
      if (before.get(address) !== what) changed.push(address);
      before.delete(address);
    }
    this.#judgeAgain([...changed, ...before.keys()]);
  }

  /** These allow entries appeared, went or changed; `all` of them may have. */
  allowChanged(texts: readonly string[] | 'all'): void {
    const changed = texts === 'all' ? new Set(this.#allowedTexts()) : new Set(texts);
    if (texts === 'all') for (const [text] of this.#o.allowed.entries()) changed.add(text);
    const really: string[] = [];
    for (const text of changed) {
      const subject = prefix(text);
      const until = this.#o.allowed.get(text);
      const known = this.#allowed.get(subject);
      if (until !== undefined) {
        this.#allowed.set(subject, until);
        this.#nextEnd = Math.min(this.#nextEnd, until);
      } else if (known !== undefined) this.#allowed.delete(subject);
      if ((until === undefined) !== (known === undefined)) really.push(text);
    }
    this.#ender.wake();
    this.#judgeAgain(really);
  }

  #gather(): void {
    const now = this.#o.clock.now();
    this.#live = this.#o.live();
    const own = new PrefixSet<true>();
    for (const { address, what } of this.#live) if (what.startsWith('own address')) own.set(prefix(address), true);
    this.#own = own;
    this.#facts = protectionFacts(this.#o.config(), this.#live, this.#allowed, now);
    this.#nextEnd = Math.min(this.#nextEnd, nextExpiry(this.#o.config(), now) ?? FOREVER);
    this.#ender.wake();
  }

  /** Something ended: allow entries leave, listed networks whose day is over are left out. */
  #end(): void {
    const now = this.#o.clock.now();
    const listed = this.#o.config().neverBan.listed.filter(({ until }) => until !== null && until <= now);
    this.#nextEnd = FOREVER;
    for (const { value } of this.#allowed) if (value > now) this.#nextEnd = Math.min(this.#nextEnd, value);
    const ended = [...this.#allowed].filter(({ value }) => value <= now).map(({ prefix: { text } }) => text);
    this.#gather();
    this.allowChanged(ended);
    if (listed.length > 0) this.#o.onChange('all');
  }

  #allowedTexts(): string[] {
    return [...this.#allowed].map(({ prefix: { text } }) => text);
  }

  #judgeAgain(texts: readonly string[]): void {
    if (texts.length === 0) return;
    const concerned = texts.length > ONE_BY_ONE ? null : texts.map((text) => around(prefix(text)));
    // Bans inside a network are found only by looking at all of them.
    if (concerned === null || concerned.includes(null)) this.#o.onChange('all');
    else this.#o.onChange(concerned.flatMap((some) => some ?? []));
  }
}

/** Every prefix that holds this host, itself first; `null` for a network, which others may lie inside of. */
function around(host: Prefix): string[] | null {
  const width = widthOf(host.family);
  if (host.length < width) return null;
  const texts: string[] = [];
  for (let length: number = width; length >= 0; length--) texts.push(prefixOf(host, length).text);
  return texts;
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
