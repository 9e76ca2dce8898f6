import type { Ban, Decision } from './ban.js';

/** What one batch of decisions asks to be stored. */
export interface Merged {
  /** One for each address, scope and signature; `record.count` says how many events named it. */
  readonly bans: readonly Ban[];
  readonly wouldBans: readonly (Ban & { readonly why: string })[];
  /** One for each inside address, outside address and sid. */
  readonly flags: readonly Flag[];
}

export interface Flag {
  readonly inside: string;
  readonly outside: string;
  readonly sid: number;
  readonly why: string;
  /** Alerts that said so. */
  readonly count: number;
}

/**
 * Gathers the decisions of a batch: one packet raises up to 36 alerts and one
 * attack thousands, and each address needs one write. Bans stay apart by
 * signature, because a pardon or a suppression holds for some of them only, and
 * by scope, because fleet and host entries are different keys. Alerts of one
 * sid in one flow count once. What changes nothing (note, ignore, refused) is
 * left out. Add until `full`, then `take`.
 */
export class Batch {
  readonly #most: number;
  readonly #bans = new Map<string, Ban>();
  readonly #wouldBans = new Map<string, Ban & { readonly why: string }>();
  readonly #flags = new Map<string, Flag>();
  /** Address, signature and flow of what was counted. */
  readonly #seen = new Set<string>();

  /** @param most entries or counted events before the batch is full */
  constructor(most = 10_000) {
    this.#most = most;
  }

  /** Whether it should be taken now, so that memory stays bounded. */
  get full(): boolean {
    return this.#bans.size + this.#wouldBans.size + this.#flags.size >= this.#most || this.#seen.size >= this.#most;
  }

  add(decision: Decision): void {
    switch (decision.kind) {
      case 'ban':
        this.#merge(this.#bans, 'ban', decision.ban);
        break;
      case 'would_ban':
        this.#merge(this.#wouldBans, 'would', { ...decision.ban, why: decision.why });
        break;
      case 'flag': {
        const { inside, outside, sid, why } = decision;
        const key = `${inside} ${outside} ${sid}`;
        this.#flags.set(key, { inside, outside, sid, why, count: (this.#flags.get(key)?.count ?? 0) + 1 });
        break;
      }
      case 'note':
      case 'ignore':
      case 'refused':
        break;
    }
  }

  take(): Merged {
    const merged = {
      bans: [...this.#bans.values()],
      wouldBans: [...this.#wouldBans.values()],
      flags: [...this.#flags.values()],
    };
    this.#bans.clear();
    this.#wouldBans.clear();
    this.#flags.clear();
    this.#seen.clear();
    return merged;
  }

  #merge<Entry extends Ban>(into: Map<string, Entry>, kind: string, entry: Entry): void {
    const { record, prefix } = entry;
    const subject = record.sid === null ? record.policy : `${record.gid}:${record.sid}`;
    const key = `${record.scope} ${prefix} ${subject}`;
    const event = `${kind} ${key} ${record.flow_id}`;
    const repeated = record.flow_id !== null && this.#seen.has(event);
    if (record.flow_id !== null) this.#seen.add(event);
    const known = into.get(key);
    into.set(key, known === undefined ? entry : joined(known, entry, repeated));
  }
}

/** The one that lasts longest explains itself; times (ISO 8601 sorts as text) and the count come from both. */
function joined<Entry extends Ban>(known: Entry, next: Entry, repeated: boolean): Entry {
  const kept = next.until > known.until ? next : known;
  const [a, b] = [known.record, next.record];
  return {
    ...kept,
    flowStart: latest(known.flowStart, next.flowStart),
    record: {
      ...kept.record,
      first: [a.first, b.first].sort()[0] as string,
      last: [a.last, b.last].sort()[1] as string,
      count: a.count + (repeated ? 0 : b.count),
    },
  };
}

/** A pardon ends with a flow that began after it, so of several flows the latest start tells. */
function latest(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b);
}
