import { BODY, LEAD, MOST_AHEAD_MS, type SharedCounts, VOTE2, VOTE3 } from './shared-counts.js';
import { RATE_PARTS, type SourceRecords } from './source-records.js';
import { Leads } from './votes.js';

const BEGIN = BODY;
const PARTS = BODY + 1;

/**
 * One limit on packets, over all workers. A packet comes to one worker only, so
 * their counts add up; but each was taken at another time. So the parts of the rate
 * window are shown rather than their sum, and of another's only those count that
 * lie within the last window altogether: the sum never exceeds the true number of
 * packets in some window of that length.
 */
export class SharedRates {
  /** Set by `count`: of a network, the lead of its front runner in all workers. */
  lead = 0;
  readonly #shared: SharedCounts;
  readonly #records: SourceRecords;
  readonly #limit: number;
  readonly #rateMs: number;
  readonly #leads: Leads;

  /** @param limit number of what is counted, the same in all workers */
  constructor(shared: SharedCounts, records: SourceRecords, limit: number, rateMs: number) {
    this.#shared = shared;
    this.#records = records;
    this.#limit = limit;
    this.#rateMs = rateMs;
    this.#leads = new Leads(shared.workers);
  }

  /** After `SourceRecords.add` gave `own`: what all workers counted. @param lead of a network; -1 for an address */
  count(slot: number, own: number, limit: number, now: number, lead = -1, low2 = 0, low3 = 0): number {
    const records = this.#records;
    const isShown = records.isShown(slot, 0);
    this.lead = lead;
    if (!this.#shared.isWorthShowing(own, limit, isShown)) {
      if (isShown) this.drop(slot);
      return own;
    }
    const { rates } = this.#shared;
    this.#turn(slot);
    const at = rates.find(rates.own);
    if (at >= 0) rates.use(at, now);
    const area = rates.own;
    const isSame =
      at >= 0 && area[at + BEGIN] === records.begin(slot) && area[at + VOTE2] === low2 && area[at + VOTE3] === low3;
    if (isSame) {
      area[at + PARTS] = records.part(slot, 0);
      area[at + LEAD] = lead;
    } else this.#write(slot, at < 0 ? rates.take(now) : at, lead, low2, low3);
    records.setShown(slot, 0, true);
    // Who is over alone is over, whatever others have.
    if (own > limit && lead < 0) return own;
    return own + this.#others(now, lead, low2, low3);
  }

  /** Something was taken back. */
  refresh(slot: number): void {
    if (!this.#records.isShown(slot, 0)) return;
    const { rates } = this.#shared;
    const { own } = rates;
    this.#turn(slot);
    const at = rates.find(own);
    if (at < 0) return;
    this.#write(slot, at, own[at + LEAD] as number, own[at + VOTE2] as number, own[at + VOTE3] as number);
  }

  drop(slot: number): void {
    if (!this.#records.isShown(slot, 0)) return;
    this.#records.setShown(slot, 0, false);
    this.#turn(slot);
    this.#shared.rates.drop();
  }

  mark(slot: number, until: number): void {
    this.#turn(slot);
    this.#shared.rates.mark(until);
  }

  markedFor(slot: number, now: number): number {
    this.#turn(slot);
    return this.#shared.rates.markedFor(now);
  }

  #turn(slot: number): void {
    const records = this.#records;
    this.#shared.rates.turn(
      this.#limit,
      records.key(slot, 0),
      records.key(slot, 1),
      records.key(slot, 2),
      records.key(slot, 3),
    );
  }

  #write(slot: number, at: number, lead: number, low2: number, low3: number): void {
    const { rates } = this.#shared;
    const { own } = rates;
    const records = this.#records;
    rates.open(at);
    own[at + BEGIN] = records.begin(slot);
    for (let age = 0; age < RATE_PARTS; age++) own[at + PARTS + age] = records.part(slot, age);
    own[at + LEAD] = lead;
    own[at + VOTE2] = low2;
    own[at + VOTE3] = low3;
    rates.close(at);
  }

  #others(now: number, lead: number, low2: number, low3: number): number {
    const { rates } = this.#shared;
    const leads = this.#leads;
    const partMs = this.#rateMs / RATE_PARTS;
    leads.clear();
    leads.add(lead, low2, low3);
    let all = 0;
    for (const area of rates.others) {
      const at = rates.find(area);
      if (at < 0) continue;
      const turn = rates.turnOf(area, at);
      if ((turn & 1) !== 0 || rates.find(area) !== at) continue;
      let age = (now - (area[at + BEGIN] as number)) | 0;
      if (age <= -MOST_AHEAD_MS) continue;
      let sum = 0;
      for (let part = 0; part < RATE_PARTS && age < this.#rateMs; part++, age += partMs) {
        sum += area[at + PARTS + part] as number;
      }
      const theirs = area[at + LEAD] as number;
      const their2 = area[at + VOTE2] as number;
      const their3 = area[at + VOTE3] as number;
      if (rates.turnOf(area, at) !== turn) continue;
      all += sum;
      if (sum > 0) leads.add(theirs, their2, their3);
    }
    if (lead >= 0) this.lead = leads.best();
    return all;
  }
}
