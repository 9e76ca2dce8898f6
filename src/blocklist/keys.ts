import { isProblem, type Prefix, parsePrefix } from '../net/prefix.js';
import { BlocklistError } from './errors.js';

/** The three kinds of key that name an entry of a kernel list. */
export type EntryKind = 'ban' | 'local' | 'allow';

/**
 * An entry's short name inside the program and in Lua replies: one letter for
 * the kind (`b`, `l`, `a`) and the suffix as typed, such as `b203.0.113.9`.
 */
export type EntryId = string;

export const LETTER: Readonly<Record<EntryKind, string>> = { ban: 'b', local: 'l', allow: 'a' };
const KIND: Readonly<Record<string, EntryKind>> = { b: 'ban', l: 'local', a: 'allow' };

export function kindOf(id: EntryId): EntryKind {
  return KIND[id[0] as string] as EntryKind;
}

export function suffixOf(id: EntryId): string {
  return id.slice(1);
}

/** Why a suffix names no entry; `detail` is what `barricata:refused:<suffix>` says. */
export interface SuffixProblem {
  readonly problem: 'not_an_address' | 'bad_length' | 'host_bits' | 'too_wide';
  readonly detail: string;
}

/** The widest allow entries: one mistyped mask must not switch all protection off. */
const WIDEST_ALLOW = { 4: 8, 6: 32 } as const;

/**
 * Reads what follows `ban:`, `local:<host>:` or `allow:` in any spelling. Set
 * host bits and allow entries wider than /8 (IPv4) or /32 (IPv6) are problems.
 */
export function parseSuffix(kind: EntryKind, suffix: string): Prefix | SuffixProblem {
  const parsed = parsePrefix(suffix);
  if (isProblem(parsed)) return parsed;
  const widest = WIDEST_ALLOW[parsed.family];
  if (kind === 'allow' && parsed.length < widest) {
    return {
      problem: 'too_wide',
      detail: `an allow entry may not be wider than /${widest}; this is /${parsed.length}`,
    };
  }
  return parsed;
}

/** At most 200 bytes of UTF-8, never cut inside a character. */
export function cutSuffix(suffix: string): string {
  const bytes = Buffer.from(suffix, 'utf8');
  if (bytes.length <= 200) return suffix;
  let end = 200;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

/** What a tracked key is about. */
export type KeyClass =
  | { readonly class: 'entry'; readonly id: EntryId }
  | { readonly class: 'suppress' | 'pardon'; readonly suffix: string }
  | { readonly class: 'mode' | 'canary' | 'accept' };

/**
 * Every key name, built from the prefix (CONTRACT section 3). With Redis
 * Cluster the prefix must be hash-tagged, `{barricata}`, so that all keys live
 * in one slot and one script may touch them together.
 */
export class Keys {
  readonly prefix: string;
  /** This machine's name in `local:`, `pos:`, `host:` and `mode:` keys. */
  readonly host: string;

  /** @throws BlocklistError kind `refused` when prefix or host cannot be part of a key name */
  constructor(prefix = 'barricata', host = 'localhost') {
    if (!/^[\w.{}-]{1,64}$/.test(prefix)) {
      throw new BlocklistError(
        'key names',
        'refused',
        `redis: prefix "${prefix}" may hold letters, digits, ".", "_", "-" and one {hash tag} only`,
      );
    }
    if (!/^[\w.-]{1,64}$/.test(host)) {
      throw new BlocklistError(
        'key names',
        'refused',
        `host "${host}" may hold letters, digits, ".", "_" and "-" only; set host: in the configuration`,
      );
    }
    this.prefix = prefix;
    this.host = host;
  }

  ban = (text: string): string => `${this.prefix}:ban:${text}`;
  local = (text: string, host = this.host): string => `${this.prefix}:local:${host}:${text}`;
  allow = (text: string): string => `${this.prefix}:allow:${text}`;
  would = (text: string): string => `${this.prefix}:would:${text}`;
  refused = (suffix: string): string => `${this.prefix}:refused:${cutSuffix(suffix)}`;
  pardon = (text: string): string => `${this.prefix}:pardon:${text}`;
  suppress = (gid: number, sid: number, inside: string): string => `${this.prefix}:suppress:${gid}:${sid}:${inside}`;
  /** Sorted set: the bans that count against an offender, `<first alert> <address>` by the time of that alert. */
  offence = (offender: string): string => `${this.prefix}:offence:${offender}`;
  flag = (inside: string, sid: number): string => `${this.prefix}:flag:${inside}:${sid}`;
  heartbeat = (host = this.host): string => `${this.prefix}:host:${host}`;
  mode = (host?: string): string => (host === undefined ? `${this.prefix}:mode` : `${this.prefix}:mode:${host}`);
  /** Hash: eve source (or `daemon`) to `<sequence> <position JSON>`. */
  position = (host = this.host): string => `${this.prefix}:pos:${host}`;
  get journal(): string {
    return `${this.prefix}:journal`;
  }
  /** Hash: entry key to what is known about its raw edit: digest, and the record that free text replaced. */
  get raw(): string {
    return `${this.prefix}:raw`;
  }
  /** Sorted set: keys removed by a journaled command (`c <key>`) or by a journaled raw edit (`r <key>`), by time. */
  get told(): string {
    return `${this.prefix}:told`;
  }
  /** When a person last accepted a held loss, for every host of the fleet. */
  get accept(): string {
    return `${this.prefix}:accept`;
  }
  /** Hash: `gid:sid` to the revisions of that rule that were seen, with commas between. */
  get rules(): string {
    return `${this.prefix}:rules`;
  }
  /** Hash: `gid:sid:rev` of a rule that does not ban yet to `<since ms> <hits>`. */
  get quarantine(): string {
    return `${this.prefix}:quarantine`;
  }
  get canary(): string {
    return `${this.prefix}:canary:${this.host}`;
  }

  /** The key of an entry. */
  entry(id: EntryId): string {
    const kind = kindOf(id);
    return kind === 'ban'
      ? this.ban(suffixOf(id))
      : kind === 'allow'
        ? this.allow(suffixOf(id))
        : this.local(suffixOf(id));
  }

  /** Pairs of class letter and key prefix, as the walk script wants them. */
  walked(): readonly string[] {
    return [
      'b',
      this.ban(''),
      'l',
      this.local(''),
      'a',
      this.allow(''),
      's',
      `${this.prefix}:suppress:`,
      'p',
      this.pardon(''),
    ];
  }

  /** What client tracking listens to. No two of them may overlap: Redis refuses that. */
  tracked(): readonly string[] {
    return [
      this.ban(''),
      this.local(''),
      this.allow(''),
      `${this.prefix}:suppress:`,
      this.pardon(''),
      this.mode(),
      this.accept,
      this.canary,
    ];
  }

  /** A SCAN pattern that matches every walked key, and few others. */
  get walkPattern(): string {
    return `${this.prefix}:[ablps]*`;
  }

  /** What a key that tracking named is about; `null` when it is none of ours. */
  classify(key: string): KeyClass | null {
    const { prefix } = this;
    if (!key.startsWith(prefix) || key[prefix.length] !== ':') return null;
    const at = prefix.length + 1;
    if (key.startsWith('ban:', at)) return { class: 'entry', id: `b${key.slice(at + 4)}` };
    if (key.startsWith('allow:', at)) return { class: 'entry', id: `a${key.slice(at + 6)}` };
    const local = `local:${this.host}:`;
    if (key.startsWith(local, at)) return { class: 'entry', id: `l${key.slice(at + local.length)}` };
    if (key.startsWith('pardon:', at)) return { class: 'pardon', suffix: key.slice(at + 7) };
    if (key.startsWith('suppress:', at)) return { class: 'suppress', suffix: key.slice(at + 9) };
    if (key === this.canary) return { class: 'canary' };
    if (key === this.accept) return { class: 'accept' };
    if (key === this.mode() || key === this.mode(this.host)) return { class: 'mode' };
    return null;
  }
}
