import type { ValueSink } from './distinct-lists.js';
import { BODY, LEAD, MOST_AHEAD_MS, PLACES, type SharedCounts, VOTE2, VOTE3 } from './shared-counts.js';
import { hash, type SourceRecords } from './source-records.js';
import type { Touches } from './touches.js';
import { Leads } from './votes.js';

/** A bit a place, then when each was last touched, which counts where the bit is set. */
const BITS = BODY;
const BIT_WORDS = PLACES / 32;
const TIMES = BODY + BIT_WORDS;

/**
 * One limit on different values, over all workers. The same value may come to
 * several of them, so their counts do not add up. Each shows at which of 512 places,
 * chosen by a hash, it had a value, and when. What another has where one's own place
 * is empty is a value of its own for certain; those that meet in one place count
 * once. So the count is never too high, and about one too low for 31 values on two
 * workers. Of more than a few hundred values it sees ever less.
 */
export class SharedTouches implements ValueSink {
  /** Set by `count`: of a network, the lead of its front runner in all workers. */
  lead = 0;
  readonly #shared: SharedCounts;
  readonly #records: SourceRecords;
  readonly #touches: Touches;
  readonly #kind: 1 | 2 | 3;
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #leads: Leads;
  /** Places of others that were counted for the packet under way. */
  readonly #seen = new Int32Array(BIT_WORDS);
  /** The entry of one's own that values are put into. */
  #at = 0;

  /** @param limit number of what is counted, the same in all workers */
  constructor(
    shared: SharedCounts,
    records: SourceRecords,
    touches: Touches,
    options: { readonly kind: 1 | 2 | 3; readonly limit: number; readonly windowMs: number },
  ) {
    this.#shared = shared;
    this.#records = records;
    this.#touches = touches;
    this.#kind = options.kind;
    this.#limit = options.limit;
    this.#windowMs = options.windowMs;
    this.#leads = new Leads(shared.workers);
  }

  /**
   * After `Touches.add` of a value gave `own`: the different ones that all workers had within the window.
   * @param lead of a network; -1 for an address
   */
  count(slot: number, own: number, value: number, most: number, now: number, lead = -1, low2 = 0, low3 = 0): number {
    const records = this.#records;
    const isShown = records.isShown(slot, this.#kind);
    this.lead = lead;
    if (!this.#shared.isWorthShowing(own, most, isShown)) {
      if (isShown) this.drop(slot);
      return own;
    }
    const entries = this.#shared.touches;
    this.#turn(slot);
    const at = isShown ? entries.find(entries.own) : -1;
    if (at >= 0) {
      entries.use(at, now);
      this.#at = at;
      this.put(value, now);
    } else this.#write(slot, entries.take(now));
    if (lead >= 0) {
      const { own } = entries;
      own[this.#at + LEAD] = lead;
      own[this.#at + VOTE2] = low2;
      own[this.#at + VOTE3] = low3;
    }
    records.setShown(slot, this.#kind, true);
    // Who is over alone is over, whatever others have.
    if (own > most && lead < 0) return own;
    return own + this.#others(most - own, now, lead, low2, low3);
  }

  /** Something was taken back: its place may be that of another value, so all are shown anew. */
  refresh(slot: number): void {
    if (!this.#records.isShown(slot, this.#kind)) return;
    const entries = this.#shared.touches;
    this.#turn(slot);
    const at = entries.find(entries.own);
    if (at < 0) return;
    entries.open(at);
    this.#write(slot, at);
  }

  drop(slot: number): void {
    if (!this.#records.isShown(slot, this.#kind)) return;
    this.#records.setShown(slot, this.#kind, false);
    this.#turn(slot);
    this.#shared.touches.drop();
  }

  mark(slot: number, until: number): void {
    this.#turn(slot);
    this.#shared.touches.mark(until);
  }

  markedFor(slot: number, now: number): number {
    this.#turn(slot);
    return this.#shared.touches.markedFor(now);
  }

  put(value: number, at: number): void {
    const { own, seed } = this.#shared.touches;
    const place = hash(seed, value, 0, 0, 0, 0) & (PLACES - 1);
    const word = this.#at + BITS + (place >>> 5);
    own[this.#at + TIMES + place] = at;
    own[word] = (own[word] as number) | (1 << (place & 31));
  }

  #turn(slot: number): void {
    const records = this.#records;
    this.#shared.touches.turn(
      this.#limit,
      records.key(slot, 0),
      records.key(slot, 1),
      records.key(slot, 2),
      records.key(slot, 3),
    );
  }

  /** Fills an open entry and closes it. */
  #write(slot: number, at: number): void {
    const entries = this.#shared.touches;
    this.#at = at;
    for (let word = 0; word < BIT_WORDS; word++) entries.own[at + BITS + word] = 0;
    this.#touches.each(slot, this);
    entries.close(at);
  }

  /** @param enough so many are looked for, and one more */
  #others(enough: number, now: number, lead: number, low2: number, low3: number): number {
    const entries = this.#shared.touches;
    const leads = this.#leads;
    leads.clear();
    if (lead >= 0) leads.add(lead, low2, low3);
    this.#seen.fill(0);
    let all = 0;
    for (const area of entries.others) {
      const at = entries.find(area);
      if (at < 0) continue;
      const turn = entries.turnOf(area, at);
      if ((turn & 1) !== 0 || entries.find(area) !== at) continue;
      const found = this.#readFrom(area, at, now, enough - all);
      const theirs = area[at + LEAD] as number;
      const their2 = area[at + VOTE2] as number;
      const their3 = area[at + VOTE3] as number;
      if (entries.turnOf(area, at) !== turn) continue;
      all += found;
      if (lead >= 0) leads.add(theirs, their2, their3);
    }
    if (lead >= 0) this.lead = leads.best();
    return all;
  }

  /** How many values another has within the window at places that are empty here and were not counted yet. */
  #readFrom(area: Int32Array, at: number, now: number, enough: number): number {
    const { own } = this.#shared.touches;
    let found = 0;
    for (let word = 0; word < BIT_WORDS && found <= enough; word++) {
      let bits = (area[at + BITS + word] as number) & ~(this.#seen[word] as number);
      while (bits !== 0) {
        const bit = bits & -bits;
        bits ^= bit;
        const place = word * 32 + 31 - Math.clz32(bit);
        if (!this.#counts(area[at + TIMES + place] as number, now)) continue;
        const isOwn = ((own[this.#at + BITS + word] as number) & bit) !== 0;
        if (isOwn && this.#counts(own[this.#at + TIMES + place] as number, now)) continue;
        this.#seen[word] = (this.#seen[word] as number) | bit;
        found += 1;
      }
    }
    return found;
  }

  #counts(touched: number, now: number): boolean {
    const age = (now - touched) | 0;
    return age < this.#windowMs && age > -MOST_AHEAD_MS;
  }
}
