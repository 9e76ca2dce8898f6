/**
 * A family of counts that only grow, keyed by one label value whose set is
 * fixed by the code and so is bounded. Read by `status` and the exporter.
 */
export class Counters<Label extends string = string> {
  readonly #counts = new Map<Label, number>();

  add(label: Label, by = 1): void {
    this.#counts.set(label, (this.#counts.get(label) ?? 0) + by);
  }

  get(label: Label): number {
    return this.#counts.get(label) ?? 0;
  }

  total(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
