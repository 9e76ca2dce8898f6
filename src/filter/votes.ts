/** The front runner among the addresses of each /64, by a majority vote after Boyer and Moore. */
export class Votes {
  readonly #words: Int32Array;

  constructor(slots: number) {
    this.#words = new Int32Array(slots * 3);
  }

  /** One vote for an address; gives the lead of the front runner, at most `most`. */
  vote(slot: number, low2: number, low3: number, most: number, restart: boolean): number {
    const words = this.#words;
    const at = slot * 3;
    let lead = restart ? 0 : (words[at] as number);
    if (lead === 0) {
      words[at + 1] = low2;
      words[at + 2] = low3;
      lead = 1;
    } else if (words[at + 1] === low2 && words[at + 2] === low3) {
      if (lead < most) lead += 1;
    } else lead -= 1;
    words[at] = lead;
    return lead;
  }

  front2(slot: number): number {
    return this.#words[slot * 3 + 1] as number;
  }

  front3(slot: number): number {
    return this.#words[slot * 3 + 2] as number;
  }

  clear(slot: number): void {
    this.#words[slot * 3] = 0;
  }
}

/** The front runner of a network among those of all workers. */
export class Leads {
  readonly #low2: Int32Array;
  readonly #low3: Int32Array;
  readonly #leads: Int32Array;
  #count = 0;

  constructor(workers: number) {
    this.#low2 = new Int32Array(workers);
    this.#low3 = new Int32Array(workers);
    this.#leads = new Int32Array(workers);
  }

  clear(): void {
    this.#count = 0;
  }

  add(lead: number, low2: number, low3: number): void {
    this.#leads[this.#count] = lead;
    this.#low2[this.#count] = low2;
    this.#low3[this.#count] = low3;
    this.#count += 1;
  }

  /** Votes for another are votes against. */
  best(): number {
    let best = 0;
    for (let one = 0; one < this.#count; one++) {
      let lead = 0;
      for (let i = 0; i < this.#count; i++) {
        const isSame = this.#low2[i] === this.#low2[one] && this.#low3[i] === this.#low3[one];
        lead += isSame ? (this.#leads[i] as number) : -(this.#leads[i] as number);
      }
      if (lead > best) best = lead;
    }
    return best;
  }
}
