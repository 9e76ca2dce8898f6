import { type EpochMs, FOREVER } from '../base/clock.js';
import { LONGEST_TIMEOUT } from '../netlink/ipset.js';
import type { KernelElement } from './set-backend.js';

/** A kernel timeout may be this far (seconds) from the wanted end before it is set again. */
export const TOLERANCE = 2;

/**
 * What this process believes one list of the kernel holds: canonical prefix
 * text to the end that was asked for. Elements leave the kernel by their own
 * timeout, so the number still alive is kept by the second in which each ends;
 * asking for it costs the seconds that passed, not the size of the list.
 */
export class Shadow {
  readonly #until = new Map<string, EpochMs>();
  /** Epoch second of the end to the number of elements that end then. */
  readonly #ends = new Map<number, number>();
  #permanent = 0;
  /** Elements whose end is at or after `#swept`, the permanent ones left out. */
  #ending = 0;
  #swept = 0;

  get size(): number {
    return this.#until.size;
  }

  get(text: string): EpochMs | undefined {
    return this.#until.get(text);
  }

  set(text: string, until: EpochMs): void {
    const before = this.#until.get(text);
    if (before !== undefined) this.#count(before, -1);
    this.#until.set(text, until);
    this.#count(until, 1);
  }

  delete(text: string): boolean {
    const until = this.#until.get(text);
    if (until === undefined) return false;
    this.#until.delete(text);
    this.#count(until, -1);
    return true;
  }

  clear(): void {
    this.#until.clear();
    this.#ends.clear();
    this.#permanent = 0;
    this.#ending = 0;
  }

  keys(): IterableIterator<string> {
    return this.#until.keys();
  }

  /**
   * How many elements the kernel may hold now, if it holds what we think:
   * the kernel rounds timeouts, so those that end within two seconds may or
   * may not be counted.
   */
  expected(now: EpochMs): { readonly least: number; readonly most: number } {
    const second = Math.floor(now / 1000);
    this.#sweep(second - 2);
    let least = this.#ending;
    for (let at = second - 2; at <= second + 2; at++) least -= this.#ends.get(at) ?? 0;
    return { least: least + this.#permanent, most: this.#ending + this.#permanent };
  }

  /** Forgets elements whose time ended more than two seconds ago. Costs the size of the list. */
  forgetEnded(now: EpochMs): void {
    for (const [text, until] of this.#until) if (until < now - 2000) this.delete(text);
  }

  #count(until: EpochMs, by: number): void {
    if (until === FOREVER) {
      this.#permanent += by;
      return;
    }
    const second = Math.floor(until / 1000);
    if (second < this.#swept) return;
    const count = (this.#ends.get(second) ?? 0) + by;
    if (count === 0) this.#ends.delete(second);
    else this.#ends.set(second, count);
    this.#ending += by;
  }

  #sweep(before: number): void {
    if (before <= this.#swept) return;
    const passed = before - this.#swept;
    if (this.#swept > 0 && passed < this.#ends.size) {
      for (let at = this.#swept; at < before; at++) this.#drop(at);
    } else {
      for (const at of [...this.#ends.keys()]) if (at < before) this.#drop(at);
    }
    this.#swept = before;
  }

  #drop(second: number): void {
    const count = this.#ends.get(second);
    if (count === undefined) return;
    this.#ends.delete(second);
    this.#ending -= count;
  }
}

/** When the kernel will end this element. */
export function endOf(element: KernelElement, now: EpochMs): EpochMs {
  return element.timeout === 0 ? FOREVER : now + element.timeout * 1000;
}

/** Whether the kernel would end this element at another time than believed; the longest timeouts are refreshed half-way. */
export function timeoutIsWrong(element: KernelElement, believed: EpochMs, now: EpochMs): boolean {
  if (believed === FOREVER || element.timeout === 0) return believed !== FOREVER || element.timeout !== 0;
  const left = (believed - now) / 1000;
  if (left > LONGEST_TIMEOUT) return element.timeout < LONGEST_TIMEOUT / 2;
  return Math.abs(left - element.timeout) > TOLERANCE;
}
