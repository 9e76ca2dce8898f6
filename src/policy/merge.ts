import type { Ban, Decision } from './ban.js';

/** What one batch of decisions comes to. */
export interface Merged {
  /** One for each address and scope; `record.count` says how many alerts named it. */
  readonly bans: readonly Ban[];
  readonly wouldBans: readonly (Ban & { readonly why: string })[];
  /** One for each inside address, outside address and sid. */
  readonly flags: readonly Flag[];
  /** Decisions of each kind, before merging. */
  readonly counts: Readonly<Record<Decision['kind'], number>>;
}

export interface Flag {
  readonly inside: string;
  readonly outside: string;
  readonly sid: number;
  readonly why: string;
  readonly count: number;
}

/**
 * Gathers the decisions of a batch: one packet raises up to 36 alerts and one
 * attack thousands, and each address needs one entry. Alerts of one sid in one
 * flow count once. Add until `full`, then `take`.
 */
export class Batch {
  readonly #most: number;
  readonly #bans = new Map<string, Ban>();
  readonly #wouldBans = new Map<string, Ban & { readonly why: string }>();
  readonly #flags = new Map<string, Flag>();
  readonly #seen = new Set<string>();
  #counts = noCounts();

  /** @param most entries and remembered (address, sid, flow) triples before the batch is full */
  constructor(most = 10_000) {
    this.#most = most;
  }

  /** Whether it should be taken now, so that memory stays bounded. */
  get full(): boolean {
    return this.#seen.size >= this.#most || this.#flags.size >= this.#most;
  }

  add(decision: Decision): void {
    this.#counts[decision.kind] += 1;
    if (decision.kind === 'ban') this.#merge(this.#bans, decision.ban, decision.ban);
    else if (decision.kind === 'would_ban') {
      this.#merge(this.#wouldBans, decision.ban, { ...decision.ban, why: decision.why });
    } else if (decision.kind === 'flag') {
      const { inside, outside, sid, why } = decision;
      const key = `${inside} ${outside} ${sid}`;
      this.#flags.set(key, { inside, outside, sid, why, count: (this.#flags.get(key)?.count ?? 0) + 1 });
    }
  }

  take(): Merged {
    const merged = {
      bans: [...this.#bans.values()],
      wouldBans: [...this.#wouldBans.values()],
      flags: [...this.#flags.values()],
      counts: this.#counts,
    };
    this.#bans.clear();
    this.#wouldBans.clear();
    this.#flags.clear();
    this.#seen.clear();
    this.#counts = noCounts();
    return merged;
  }

  /** Fleet and host entries are different keys in the store, so they stay apart here. */
  #merge<Entry extends Ban>(into: Map<string, Entry>, ban: Ban, entry: Entry): void {
    const { record } = ban;
    const key = `${record.scope} ${ban.prefix}`;
    const known = into.get(key);
    const event = `${key} ${record.sid ?? record.policy} ${record.flow_id}`;
    const repeated = record.flow_id !== null && this.#seen.has(event);
    this.#seen.add(record.flow_id === null ? key : event);
    if (known === undefined) {
      into.set(key, entry);
      return;
    }
    // The ban that lasts longest explains itself; times and counts come from all.
    const kept = ban.until > known.until ? entry : known;
    into.set(key, {
      ...kept,
      flowStart: latest(known.flowStart, ban.flowStart),
      record: {
        ...kept.record,
        first: known.record.first < record.first ? known.record.first : record.first,
        last: known.record.last > record.last ? known.record.last : record.last,
        count: known.record.count + (repeated ? 0 : record.count),
      },
    });
  }
}

/** A pardon ends with a flow that began after it, so the latest start of all is the one that tells. */
function latest(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b);
}

function noCounts(): Record<Decision['kind'], number> {
  return { ban: 0, would_ban: 0, flag: 0, note: 0, ignore: 0, refused: 0 };
}
