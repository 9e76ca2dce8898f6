import type { Clock } from '../base/clock.js';
import type { QuarantinedRule } from '../policy/quarantine.js';
import type { RedisConnection } from './connection.js';
import { Journal } from './journal.js';
import type { Keys } from './keys.js';

/** Rules a script is given at once, so that Redis is not held up for more than a few milliseconds. */
const PAGE = 1000;
/** A first set of rules that is not complete by then was broken off, s. */
const UNFINISHED_LIFETIME = 3600;
/** As many rules are named in one line of the journal. */
const NAMED = 20;

export interface RuleId {
  readonly gid: number;
  readonly sid: number;
  readonly rev: number;
}

/** A rule in quarantine as Redis has it. */
export interface Quarantined extends QuarantinedRule, RuleId {
  /** Revisions of it that are not in quarantine. */
  readonly others: readonly number[];
}

/** What is to be done about a rule in quarantine. */
export type QuarantineChange = { readonly rule: RuleId } & (
  | { readonly what: 'hits'; readonly hits: number }
  /** Its time begins again now. */
  | { readonly what: 'restart' }
  /** It is let out, unless its time began again meanwhile. */
  | { readonly what: 'promote'; readonly since: number; readonly why: string }
);

/**
 * Which revisions of rules the fleet has seen, and which of them do not ban
 * yet. `barricata:rules` remembers every revision seen, removed ones included,
 * `barricata:quarantine` those in quarantine. The first rules that any host
 * reads are the baseline and pass at once; they appear all together, so that no
 * host takes half of them for the baseline.
 */
export class QuarantineState {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #clock: Clock;
  readonly #journal: Journal;

  constructor(connection: RedisConnection, keys: Keys, clock: Clock) {
    this.#connection = connection;
    this.#keys = keys;
    this.#clock = clock;
    this.#journal = new Journal(connection, keys);
  }

  /**
   * Makes the rules of a file known.
   * @param file for the journal
   * @param held what is known here to be in quarantine, in case Redis has lost it
   * @returns those of the rules that are in quarantine
   * @throws BlocklistError
   */
  async enter(
    rules: readonly RuleId[],
    file: string,
    held: readonly (RuleId & QuarantinedRule)[],
  ): Promise<Quarantined[]> {
    if ((await this.#connection.call('EXISTS', this.#keys.rules)) === 0) await this.#baseline(rules, file, held);
    const quarantined: Quarantined[] = [];
    const entered: string[] = [];
    for (const page of pagesOf(rules)) {
      const args = page.flatMap(({ gid, sid, rev }) => [`${gid}:${sid}`, rev]);
      const { rules: seen, quarantine } = this.#keys;
      const flat = (await this.#connection.script('rules-2', [seen, quarantine], [this.#clock.now(), ...args])) as (
        | string
        | number
      )[];
      for (let i = 0; i < flat.length; i += 4) {
        const id = String(flat[i]);
        const others = String(flat[i + 3])
          .split(',')
          .filter(Boolean)
          .map(Number);
        quarantined.push({ ...parseId(id), ...parseState(String(flat[i + 1])), others });
        if (flat[i + 2] === 1) entered.push(id);
      }
    }
    if (entered.length > 0) {
      const more = entered.length > NAMED ? ' ...' : '';
      const why = `${entered.length} rules of ${file} are new or revised and only would ban: ${entered.slice(0, NAMED).join(' ')}${more}`;
      await this.#tell('quarantine', why);
    }
    return quarantined;
  }

  /**
   * Applies changes, at most a page of them at once.
   * @returns for each what it is now, `null` when it is out of quarantine; or
   *   'lost' when Redis does not know the rules any more: they must be entered again
   * @throws BlocklistError
   */
  async change(changes: readonly QuarantineChange[]): Promise<(QuarantinedRule | null)[] | 'lost'> {
    const { quarantine, rules, journal, host } = this.#keys;
    const states: (QuarantinedRule | null)[] = [];
    for (const page of pagesOf(changes)) {
      const args = page.flatMap((change) => [idOf(change.rule), change.what, ...this.#argumentsOf(change)]);
      const at = new Date(this.#clock.now()).toISOString();
      const answer = await this.#connection.script('quarantine-3', [quarantine, rules, journal], [at, host, ...args]);
      if (!Array.isArray(answer)) return 'lost';
      for (const state of answer as string[]) states.push(state === '' ? null : parseState(state));
    }
    return states;
  }

  #argumentsOf(change: QuarantineChange): [number, string] {
    switch (change.what) {
      case 'hits':
        return [change.hits, ''];
      case 'restart':
        return [this.#clock.now(), ''];
      case 'promote':
        return [change.since, change.why];
    }
  }

  async #baseline(rules: readonly RuleId[], file: string, held: readonly (RuleId & QuarantinedRule)[]): Promise<void> {
    const { rules: seen, quarantine } = this.#keys;
    const next = `${seen}-next:${this.#keys.host}`;
    const call = (command: string, ...args: (string | number)[]) => this.#connection.call(command, ...args);
    await call('DEL', next);
    for (const page of pagesOf(rules)) {
      await call('HSET', next, ...page.flatMap(({ gid, sid, rev }) => [`${gid}:${sid}`, rev]));
      await call('EXPIRE', next, UNFINISHED_LIFETIME);
    }
    for (const page of pagesOf(held)) {
      await call('HSET', quarantine, ...page.flatMap((rule) => [idOf(rule), `${rule.since} ${rule.hits}`]));
    }
    await call('PERSIST', next);
    // Another host may have been first: then these rules are judged like any others.
    if ((await call('RENAMENX', next, seen)) === 1) await this.#tell('baseline', `${rules.length} rules of ${file}`);
    else await call('DEL', next);
  }

  #tell(act: string, why: string): Promise<void> {
    const at = new Date(this.#clock.now()).toISOString();
    return this.#journal.write({ at, act, address: 'rules', from: 'daemon', host: this.#keys.host, why });
  }
}

export function idOf({ gid, sid, rev }: RuleId): string {
  return `${gid}:${sid}:${rev}`;
}

function parseId(id: string): RuleId {
  const [gid = 1, sid = 0, rev = 0] = id.split(':').map(Number);
  return { gid, sid, rev };
}

/** A state that somebody typed wrong counts as one that begins in 1970 without hits. */
function parseState(text: string): QuarantinedRule {
  const [, since, hits] = /^(\d{1,15}) (\d{1,15})$/.exec(text) ?? [];
  return { since: Number(since ?? 0), hits: Number(hits ?? 0) };
}

function* pagesOf<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let at = 0; at < items.length; at += PAGE) yield items.slice(at, at + PAGE);
}
