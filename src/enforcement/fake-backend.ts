import { type Clock, type EpochMs, FOREVER } from '../base/clock.js';
import type { Family } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';
import { elementProblem } from '../netlink/ipset-message.js';
import {
  type ApplyResult,
  EnforcementError,
  type Gate,
  type KernelElement,
  type ListName,
  type SetBackend,
  type WantedElement,
} from './set-backend.js';
import { batchOf, FAMILIES, LISTS, missing, setName } from './sets.js';

interface FakeElement {
  readonly until: EpochMs;
  packets: number;
  bytes: number;
}

type FakeSet = Map<string, FakeElement>;

/**
 * Sets in memory that behave as the kernel's do, for tests and dry runs; the
 * conformance suite holds it to that. Its time is the clock it was given.
 */
export class FakeBackend implements SetBackend {
  readonly name = 'fake';
  readonly #gate: Gate;
  readonly #clock: Clock;
  readonly #maxelem: number;
  readonly #sets = new Map<string, FakeSet>();
  referenced = false;

  constructor(options: { readonly gate: Gate; readonly clock: Clock; readonly maxelem: number }) {
    this.#gate = options.gate;
    this.#clock = options.clock;
    this.#maxelem = options.maxelem;
  }

  async open(): Promise<void> {
    for (const list of LISTS) {
      for (const family of FAMILIES) {
        const name = setName(list, family);
        if (!this.#sets.has(name)) this.#sets.set(name, new Map());
      }
    }
  }

  async apply(list: ListName, add: readonly WantedElement[], remove: readonly Prefix[]): Promise<ApplyResult> {
    const now = this.#clock.now();
    const batch = batchOf(list, add, remove, this.#gate, now);
    const failed: ApplyResult['failed'][number][] = [];
    let added = 0;
    let removed = 0;
    for (const family of FAMILIES) {
      const wanted = batch.add[family];
      if (wanted.length + batch.remove[family].length === 0) continue;
      const set = this.#set(list, family);
      this.#collect(set);
      for (const { text } of batch.remove[family]) {
        set.delete(text);
        removed += 1;
      }
      for (const { prefix, timeout, fresh } of wanted) {
        const problem = elementProblem(prefix, timeout);
        const known = set.get(prefix.text);
        if (problem !== null) {
          failed.push({ text: prefix.text, error: new EnforcementError('fake add', 'refused', problem) });
        } else if (known === undefined && set.size >= this.#maxelem) {
          const error = new EnforcementError('fake add', 'full', `${prefix.text}: the set is full`);
          failed.push({ text: prefix.text, error });
        } else {
          const kept = known !== undefined && fresh !== true;
          const until = timeout === 0 ? FOREVER : now + timeout * 1000;
          set.set(prefix.text, { until, packets: kept ? known.packets : 0, bytes: kept ? known.bytes : 0 });
          added += 1;
        }
      }
    }
    return { added, removed, refused: batch.refused, failed };
  }

  async *dump(list: ListName): AsyncGenerator<readonly KernelElement[], void, void> {
    for (const family of FAMILIES) {
      const set = this.#set(list, family);
      this.#collect(set);
      const page = [...set].map(([text, element]) => this.#reported(text, element));
      if (page.length > 0) yield page;
    }
  }

  async size(list: ListName): Promise<{ ipv4: number; ipv6: number; referenced: boolean }> {
    const [ipv4, ipv6] = [this.#set(list, 4), this.#set(list, 6)];
    this.#collect(ipv4);
    this.#collect(ipv6);
    return { ipv4: ipv4.size, ipv6: ipv6.size, referenced: this.referenced };
  }

  async find(list: ListName, prefix: Prefix): Promise<KernelElement | null> {
    const set = this.#set(list, prefix.family);
    this.#collect(set);
    const element = set.get(prefix.text);
    return element === undefined ? null : this.#reported(prefix.text, element);
  }

  async close(): Promise<void> {}

  async destroy(): Promise<void> {
    this.#sets.clear();
  }

  /** Counts packets on the element with exactly this text, as a rule of the kernel would. */
  hit(list: ListName, family: Family, text: string, packets: number, bytes: number): void {
    const element = this.#set(list, family).get(text);
    if (element === undefined) throw missing('fake hit', text);
    element.packets += packets;
    element.bytes += bytes;
  }

  #set(list: ListName, family: Family): FakeSet {
    const name = setName(list, family);
    const set = this.#sets.get(name);
    if (set === undefined) throw missing('fake', name);
    return set;
  }

  #collect(set: FakeSet): void {
    const now = this.#clock.now();
    for (const [text, { until }] of set) if (until <= now) set.delete(text);
  }

  #reported(text: string, { until, packets, bytes }: FakeElement): KernelElement {
    const timeout = until === FOREVER ? 0 : Math.max(1, Math.floor((until - this.#clock.now()) / 1000));
    return { text, timeout, packets, bytes };
  }
}
