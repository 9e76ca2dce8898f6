/** Packets and bytes that a rule counted. */
export interface RuleCount {
  readonly packets: number;
  readonly bytes: number;
}

const NONE: RuleCount = { packets: 0, bytes: 0 };
const sum = (a: RuleCount, b: RuleCount) => ({ packets: a.packets + b.packets, bytes: a.bytes + b.bytes });

/** Totals of rules that only grow, though the rules are made anew now and then and then begin at 0. */
export class RuleCounts {
  readonly #rules = new Map<string, { before: RuleCount; last: RuleCount }>();

  /** Takes up what the rules count now, by a key that stays when a rule is made anew. Rules that are gone keep what they had. */
  update(now: ReadonlyMap<string, RuleCount>): void {
    for (const key of new Set([...this.#rules.keys(), ...now.keys()])) {
      const known = this.#rules.get(key) ?? { before: NONE, last: NONE };
      const { packets, bytes } = now.get(key) ?? NONE;
      if (packets < known.last.packets) known.before = sum(known.before, known.last);
      known.last = { packets, bytes };
      this.#rules.set(key, known);
    }
  }

  /** The total of all rules whose key begins so. */
  total(prefix: string): RuleCount {
    let total = NONE;
    for (const [key, { before, last }] of this.#rules) {
      if (key.startsWith(prefix)) total = sum(total, sum(before, last));
    }
    return total;
  }
}
