import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock, EpochMs } from '../base/clock.js';
import { Counters } from '../base/counters.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import { type Prefix, prefix } from '../net/prefix.js';
import type { Refusal } from '../protection/admits.js';
import type { Changed, Desired } from './desired.js';
import { EnforcementError, type Gate, type ListName, type SetBackend, type WantedElement } from './set-backend.js';
import { endOf, Shadow, TOLERANCE, timeoutIsWrong } from './shadow.js';

const LISTS: readonly ListName[] = ['allow', 'ban'];
/** Elements handled before the event loop gets a turn: about 2 ms of work. */
const CHUNK = 1000;
/** Elements looked at and found right before the event loop gets a turn: about 2 ms. */
const LOOKED_AT_ONCE = 10_000;
/** What made the kernel differ from the wish without anybody wishing so. */
export type HealCause = 'set_missing' | 'element_missing' | 'element_foreign' | 'timeout_wrong';

export interface ReconcilerOptions {
  readonly backend: SetBackend;
  readonly desired: Desired;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly log: Log;
  /** Makes sets and rules anew after they were destroyed under us. */
  readonly rebuild: () => Promise<void>;
  /** Told once when a wanted ban is kept out, and with `null` when it is no longer. */
  readonly onRefused: (text: string, refusal: Refusal | null) => void;
}

/**
 * Makes the kernel sets equal to what is wanted, and measures the difference.
 *
 * It is level-triggered: `changed` only says where to look again; what is then
 * done follows from comparing the wish with the shadow of the kernel. A count of
 * the kernel's elements every second or two, and a full comparison with the
 * kernel's own dump whenever that count is off, heal what anybody else did to
 * the sets. While the store was never read completely nothing is removed but
 * what the protections refuse.
 */
export class Reconciler implements Service {
  readonly name = 'reconciler';
  readonly #o: ReconcilerOptions;
  readonly #shadow: Readonly<Record<ListName, Shadow>> = { ban: new Shadow(), allow: new Shadow() };
  readonly #dirty: Readonly<Record<ListName, Set<string>>> = { ban: new Set(), allow: new Set() };
  readonly #refused = new Map<string, Refusal>();
  readonly #failed = new Map<string, EnforcementError>();
  readonly #runner: BoundedRunner;
  readonly heals = new Counters<HealCause>();
  #lookAtAll = true;
  #compareNext = true;
  #judgeNext = true;
  #countCost = 0;
  #drift = 0;
  #lastCount = 0;
  #compareCost = 0;
  #lastCompare = 0;
  #completeSince: EpochMs | null = null;

  constructor(options: ReconcilerOptions) {
    this.#o = options;
    this.#runner = new BoundedRunner({
      task: () => this.#run(),
      clock: options.clock,
      atLeast: 0,
      // Counting walks the set in the kernel (6 ms for 100,000): at most a third of a percent of time.
      atMost: () => Math.max(1400, this.#countCost * 300),
      onError: (error) => {
        this.#lookAtAll = this.#compareNext = this.#judgeNext = true;
        options.log.error(
          { err: messageOf(error) },
          'the kernel sets could not be compared with the blocklist; trying again',
        );
      },
    });
  }

  /** Reads what the kernel already holds, so that the first comparison knows it, and begins. */
  async start(): Promise<void> {
    for (const list of LISTS) {
      const now = this.#o.clock.now();
      for await (const page of this.#o.backend.dump(list)) {
        for (const element of page) this.#shadow[list].set(element.text, endOf(element, now));
      }
    }
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
  }

  /** Asks to compare these prefixes, or everything, again. Never blocks. */
  changed(changed: Changed): void {
    if (changed === 'all') this.#lookAtAll = true;
    else for (const text of changed.texts) this.#dirty[changed.list].add(text);
    this.#runner.wake();
  }

  /** The protections are others: asks to judge every element again, also those in the kernel. */
  judgeAll(): void {
    this.#judgeNext = this.#lookAtAll = true;
    this.#runner.wake();
  }

  /** Asks for a comparison with the kernel's own dump. */
  compare(): void {
    this.#compareNext = this.#lookAtAll = true;
    this.#runner.wake();
  }

  /** Whether the kernel is believed to hold this prefix (its own element, not one that covers it). */
  holds(list: ListName, text: string): boolean {
    const until = this.#shadow[list].get(text);
    return until !== undefined && until > this.#o.clock.now();
  }

  /** What the kernel is believed to hold, both lists. Ask right after `start` for what it held before. */
  *held(): Generator<readonly [list: ListName, text: string, until: EpochMs]> {
    for (const list of LISTS) {
      for (const text of this.#shadow[list].keys()) yield [list, text, this.#shadow[list].get(text) ?? 0];
    }
  }

  refusal(text: string): Refusal | undefined {
    return this.#refused.get(text);
  }

  status(): {
    readonly complete: boolean;
    readonly completeSince: EpochMs | null;
    readonly entries: number;
    readonly allowed: number;
    readonly drift: number;
    readonly refused: number;
    readonly failed: number;
    readonly failures: readonly string[];
    readonly heals: Record<string, number>;
  } {
    const now = this.#o.clock.now();
    return {
      complete: this.#completeSince !== null,
      completeSince: this.#completeSince,
      entries: this.#shadow.ban.expected(now).most,
      allowed: this.#shadow.allow.expected(now).most,
      drift: this.#drift + this.#failed.size,
      refused: this.#refused.size,
      failed: this.#failed.size,
      failures: [...this.#failed].slice(0, 3).map(([text, error]) => `${text}: ${error.message}`),
      heals: this.heals.toJSON(),
    };
  }

  async #run(): Promise<void> {
    try {
      await this.#drain();
      const now = this.#o.clock.monotonic();
      if (now - this.#lastCompare >= Math.max(10_000, this.#compareCost * 1000)) this.#compareNext = true;
      const countDue = now - this.#lastCount >= Math.max(1300, this.#countCost * 300);
      if (!this.#compareNext && countDue) await this.#count();
      if (this.#lookAtAll || this.#compareNext) await this.#lookAtEverything();
    } catch (error) {
      if (!(error instanceof EnforcementError) || error.kind !== 'missing') throw error;
      this.heals.add('set_missing');
      this.#o.log.warn({ err: error.message }, 'the kernel sets are gone; making them again');
      for (const list of LISTS) this.#shadow[list].clear();
      this.#lookAtAll = this.#compareNext = true;
      await this.#o.rebuild();
      this.#runner.wake();
    }
  }

  /** Brings every prefix somebody pointed at in line. Called again between the steps of longer work. */
  async #drain(): Promise<void> {
    for (const list of LISTS) {
      const dirty = this.#dirty[list];
      while (dirty.size > 0) {
        const texts: string[] = [];
        for (const text of dirty) {
          texts.push(text);
          if (texts.length === CHUNK) break;
        }
        for (const text of texts) dirty.delete(text);
        await this.#bringInLine(list, texts, true);
        if (dirty.size > 0) await breathe();
      }
    }
  }

  /** @param judge also ask the protections about elements that are in the kernel already */
  async #bringInLine(list: ListName, texts: readonly string[], judge: boolean): Promise<void> {
    const { desired, backend, clock } = this.#o;
    const shadow = this.#shadow[list];
    const now = clock.now();
    const add: WantedElement[] = [];
    const remove: Prefix[] = [];
    for (const text of texts) {
      const until = desired.get(list, text);
      const held = shadow.get(text);
      if (until === undefined || until <= now) {
        this.#forgive(text, list);
        if (held === undefined) continue;
        const subject = prefix(text);
        // What is protected leaves at once, whether or not the store is known.
        if (desired.complete || (judge && this.#isRefused(list, subject))) remove.push(subject);
      } else if (held === undefined || Math.abs(held - until) > 999) {
        add.push({ prefix: prefix(text), until, fresh: held === undefined });
      } else if (judge) {
        const subject = prefix(text);
        const refusal = list === 'ban' ? this.#o.gate(subject) : null;
        if (refusal === null) this.#forgive(text, list);
        else {
          this.#refuse(text, refusal);
          remove.push(subject);
        }
      }
    }
    if (add.length === 0 && remove.length === 0) return;
    const result = await backend.apply(list, add, remove);
    for (const removed of remove) shadow.delete(removed.text);
    const kept = new Set<string>();
    const leaving: Prefix[] = [];
    for (const { element, refusal } of result.refused) {
      kept.add(element.prefix.text);
      this.#refuse(element.prefix.text, refusal);
      if (shadow.get(element.prefix.text) !== undefined) leaving.push(element.prefix);
    }
    for (const { text, error } of result.failed) {
      kept.add(text);
      if (!this.#failed.has(text))
        this.#o.log.error({ element: text, err: error.message }, 'the kernel did not take an element');
      this.#failed.set(text, error);
    }
    for (const { prefix: p, until } of add) {
      if (kept.has(p.text)) continue;
      shadow.set(p.text, until);
      this.#forgive(p.text, list);
    }
    if (leaving.length > 0) {
      await backend.apply(list, [], leaving);
      for (const { text } of leaving) shadow.delete(text);
    }
  }

  #isRefused(list: ListName, subject: Prefix): boolean {
    return list === 'ban' && this.#o.gate(subject) !== null;
  }

  #refuse(text: string, refusal: Refusal): void {
    const known = this.#refused.get(text);
    this.#refused.set(text, refusal);
    if (known?.detail !== refusal.detail) this.#o.onRefused(text, refusal);
  }

  #forgive(text: string, list: ListName): void {
    this.#failed.delete(text);
    if (list === 'ban' && this.#refused.delete(text)) this.#o.onRefused(text, null);
  }

  /** Compares the kernel's element count with ours; a difference asks for a full comparison. */
  async #count(): Promise<void> {
    const before = this.#o.clock.monotonic();
    let drift = 0;
    for (const list of LISTS) {
      const size = await this.#o.backend.size(list);
      const held = size.ipv4 + size.ipv6;
      const { least, most } = this.#shadow[list].expected(this.#o.clock.now());
      drift += held < least ? least - held : held > most ? held - most : 0;
    }
    this.#lastCount = this.#o.clock.monotonic();
    this.#countCost = this.#lastCount - before;
    this.#drift = drift;
    if (drift > 0) this.#lookAtAll = this.#compareNext = true;
  }

  /** The full comparison: the kernel's dump if asked for, then every wish and every belief. */
  async #lookAtEverything(): Promise<void> {
    const withDump = this.#compareNext;
    const { complete } = this.#o.desired;
    const began = this.#o.clock.monotonic();
    this.#lookAtAll = this.#compareNext = false;
    const judge = this.#judgeNext;
    this.#judgeNext = false;
    for (const list of LISTS) {
      const shadow = this.#shadow[list];
      shadow.forgetEnded(this.#o.clock.now());
      if (withDump) await this.#believeTheKernel(list);
      await this.#each(list, this.#unlike(list, judge), judge);
      if (complete || judge) await this.#each(list, this.#unwanted(list), judge);
    }
    for (const text of [...this.#refused.keys()]) {
      if (this.#o.desired.get('ban', text) === undefined) this.#forgive(text, 'ban');
    }
    if (withDump) {
      this.#lastCompare = this.#o.clock.monotonic();
      this.#compareCost = this.#lastCompare - began;
      await this.#count();
    }
    if (complete && this.#completeSince === null && !this.#compareNext) this.#completeSince = this.#o.clock.now();
  }

  /** Wanted elements that the kernel does not hold as wanted; all of them when they are to be judged. */
  *#unlike(list: ListName, judge: boolean): Generator<string | null> {
    const shadow = this.#shadow[list];
    let looked = 0;
    for (const [text, until] of this.#o.desired.entries(list)) {
      const held = judge ? undefined : shadow.get(text);
      if (held === undefined || Math.abs(held - until) > 999) yield text;
      looked += 1;
      if (looked % LOOKED_AT_ONCE === 0) yield null;
    }
  }

  /** Elements believed to be in the kernel that nobody wants. */
  *#unwanted(list: ListName): Generator<string | null> {
    let looked = 0;
    for (const text of this.#shadow[list].keys()) {
      if (this.#o.desired.get(list, text) === undefined) yield text;
      looked += 1;
      if (looked % LOOKED_AT_ONCE === 0) yield null;
    }
  }

  /** @param texts `null` among them = a good moment to let others work */
  async #each(list: ListName, texts: Iterable<string | null>, judge: boolean): Promise<void> {
    let chunk: string[] = [];
    for (const text of texts) {
      if (text !== null) {
        chunk.push(text);
        if (chunk.length < CHUNK) continue;
        await this.#bringInLine(list, chunk, judge);
        chunk = [];
      }
      await breathe();
      await this.#drain();
    }
    if (chunk.length > 0) await this.#bringInLine(list, chunk, judge);
  }

  /** Corrects the shadow by the kernel's own dump, counting what somebody else changed. */
  async #believeTheKernel(list: ListName): Promise<void> {
    const shadow = this.#shadow[list];
    let missing = new Set(shadow.keys());
    for await (const page of this.#o.backend.dump(list)) {
      const now = this.#o.clock.now();
      for (const element of page) {
        const believed = shadow.get(element.text);
        missing.delete(element.text);
        if (believed === undefined) {
          // An element applied while the dump ran is in the shadow already; this one is not ours.
          shadow.set(element.text, endOf(element, now));
          if (this.#completeSince !== null) this.heals.add('element_foreign');
        } else if (timeoutIsWrong(element, believed, now)) {
          shadow.set(element.text, endOf(element, now));
          this.heals.add('timeout_wrong');
        }
      }
      await this.#drainKeeping(missing, list);
    }
    const now = this.#o.clock.now();
    let gone = 0;
    for (const text of missing) {
      const until = shadow.get(text);
      if (until === undefined) continue;
      if (until > now + TOLERANCE * 1000) gone += 1;
      shadow.delete(text);
    }
    missing = new Set();
    if (gone > 0) {
      this.heals.add('element_missing', gone);
      this.#o.log.warn({ list, elements: gone }, 'elements were gone from the kernel set; putting them back');
    }
  }

  /** Edits made while the dump runs must not be taken for losses: what is touched now is not missing. */
  async #drainKeeping(missing: Set<string>, list: ListName): Promise<void> {
    for (const text of this.#dirty[list]) missing.delete(text);
    await this.#drain();
    await breathe();
  }
}

const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));
