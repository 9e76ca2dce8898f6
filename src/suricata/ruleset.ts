/**
 * The rules that Suricata runs, as far as decisions need them: an alert does
 * not say whether its rule asks for an established flow, which way its packet
 * goes, or by whom it counts. `rule-text` reads one rule, this file a whole
 * rules file; `ruleset-source` follows the file while the program runs.
 *
 * Reading never fails on what is in the file: what is no rule is counted by
 * cause. Only the file itself can be missing or unreadable.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { BarricataError, messageOf } from '../base/errors.js';
import { type Rule, type RuleProblem, RuleTextParser } from './rule-text.js';

/** Read at once, bytes: parsing as much takes about a millisecond, so that whatever else runs is not held up. */
const CHUNK = 64 * 1024;
/** Longest rule, bytes; Suricata itself takes 8 KiB. */
const LONGEST_RULE = 64 * 1024;
/** More are counted and left out; the largest known set has about 80,000. */
const RULES_AT_MOST = 500_000;

/** Why a line gave no rule of its own. */
export type RuleFault = RuleProblem | 'too_long' | 'duplicate' | 'too_many';

/** How often something was found, and the first line with it, 1-based. */
export interface FaultCount {
  readonly count: number;
  readonly firstLine: number;
}

export type RulesetErrorKind = 'missing' | 'unreadable';

/** The rules file could not be read at all. */
export class RulesetError extends BarricataError {
  declare readonly kind: RulesetErrorKind;
  constructor(kind: RulesetErrorKind, message: string, cause?: unknown) {
    super('read rules', kind, message, cause);
  }
}

/** The rules of one file; does not change any more. */
export class Ruleset {
  readonly #rules: ReadonlyMap<number, ReadonlyMap<number, Rule>>;
  readonly path: string;
  /** Rules that are switched on. */
  readonly size: number;
  /** By cause: lines that gave no rule. */
  readonly faults: ReadonlyMap<RuleFault, FaultCount>;
  /** The file ends within a rule, so that the rest of it is missing. */
  readonly torn: boolean;

  constructor(
    path: string,
    rules: ReadonlyMap<number, ReadonlyMap<number, Rule>>,
    faults: ReadonlyMap<RuleFault, FaultCount>,
    torn: boolean,
  ) {
    this.path = path;
    this.#rules = rules;
    this.faults = faults;
    this.torn = torn;
    let size = 0;
    for (const of of rules.values()) size += of.size;
    this.size = size;
  }

  /** The rule with these numbers; `null` when the file has none. */
  rule(gid: number, sid: number): Rule | null {
    return this.#rules.get(gid)?.get(sid) ?? null;
  }

  /** Every rule, in the order of the file within one gid. */
  *rules(): Generator<Rule> {
    for (const of of this.#rules.values()) yield* of.values();
  }

  /** The sid of every rule; a sid that several gids use comes once. */
  sids(): Set<number> {
    const sids = new Set<number>();
    for (const { sid } of this.rules()) sids.add(sid);
    return sids;
  }

  /** Names of the classtypes in use, such as `web-application-attack`; alerts carry their descriptions instead. */
  classtypes(): Set<string> {
    const classtypes = new Set<string>();
    for (const { classtype } of this.rules()) if (classtype !== null) classtypes.add(classtype);
    return classtypes;
  }
}

/**
 * Reads a rules file. Gives the event loop back after every 64 KiB.
 * @throws RulesetError
 */
export async function readRuleset(path: string): Promise<Ruleset> {
  let file: FileHandle;
  try {
    // Not to wait for a writer where a pipe has the file's name.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = missing ? 'there is no such file' : messageOf(error);
    throw new RulesetError(missing ? 'missing' : 'unreadable', `rules file ${path}: ${why}`, error);
  }
  try {
    return await readFrom(file, path);
  } catch (error) {
    throw new RulesetError('unreadable', `rules file ${path}: ${messageOf(error)}`, error);
  } finally {
    await file.close();
  }
}

async function readFrom(file: FileHandle, path: string): Promise<Ruleset> {
  if (!(await file.stat()).isFile()) throw new Error('not a plain file');
  const lines = new RulesetLines();
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK, null);
    if (bytesRead === 0) return lines.end(path);
    lines.push(buffer.toString('latin1', 0, bytesRead));
  }
}

/** Puts rules together from pieces of a file, and the ruleset from rules. */
export class RulesetLines {
  readonly #parser = new RuleTextParser();
  readonly #rules = new Map<number, Map<number, Rule>>();
  readonly #faults = new Map<RuleFault, { count: number; readonly firstLine: number }>();
  #size = 0;
  #line = 0;
  /** The piece of a line that the last chunk ended with. */
  #rest = '';
  /** The rule so far, while its lines end in a backslash. */
  #joined = '';
  #joinedFrom = 0;
  /** The line is longer than any rule: what comes up to its end is skipped. */
  #overlong = false;

  /** Takes the next piece of the file; each byte a character (latin1). */
  push(chunk: string): void {
    let at = 0;
    for (;;) {
      const newline = chunk.indexOf('\n', at);
      if (newline < 0) break;
      this.#takeLine(this.#rest === '' ? chunk.slice(at, newline) : this.#rest + chunk.slice(at, newline));
      this.#rest = '';
      at = newline + 1;
    }
    if (at < chunk.length) this.#keep(chunk.slice(at));
  }

  /** What was read; the last line may lack its line end. */
  end(path: string): Ruleset {
    const unfinished = () => this.#faults.get('unfinished')?.count ?? 0;
    const before = unfinished();
    const cutInside = this.#joined !== '' || this.#overlong || this.#rest.endsWith('\\');
    if (this.#rest !== '' || this.#overlong) this.#takeLine(this.#rest);
    if (this.#joined !== '') this.#takeRule(this.#joined, this.#joinedFrom);
    return new Ruleset(path, this.#rules, this.#faults, cutInside || unfinished() > before);
  }

  #keep(piece: string): void {
    if (this.#overlong) return;
    this.#rest += piece;
    if (this.#rest.length <= LONGEST_RULE) return;
    this.#rest = '';
    this.#overlong = true;
  }

  #takeLine(line: string): void {
    this.#line += 1;
    const number = this.#joined === '' ? this.#line : this.#joinedFrom;
    if (this.#overlong || this.#joined.length + line.length > LONGEST_RULE) {
      this.#overlong = false;
      this.#joined = '';
      this.#fault('too_long', number);
      return;
    }
    const text = line.trimEnd();
    // As Suricata: a line that begins with a blank is left out, unless it continues a rule.
    if (this.#joined === '' && (text === '' || /^[\s#;]/.test(line))) return;
    if (text.endsWith('\\')) {
      this.#joinedFrom = number;
      this.#joined += text.slice(0, -1);
      return;
    }
    const rule = this.#joined + text;
    this.#joined = '';
    this.#takeRule(rule, number);
  }

  #takeRule(text: string, line: number): void {
    const rule = this.#parser.parse(text);
    if (typeof rule === 'string') {
      this.#fault(rule, line);
      return;
    }
    let of = this.#rules.get(rule.gid);
    if (of === undefined) {
      of = new Map();
      this.#rules.set(rule.gid, of);
    }
    const known = of.get(rule.sid);
    // Suricata keeps the higher revision, and the first of equal ones.
    if (known !== undefined) this.#fault('duplicate', line);
    if (known !== undefined && known.rev >= rule.rev) return;
    if (known === undefined && this.#size >= RULES_AT_MOST) {
      this.#fault('too_many', line);
      return;
    }
    if (known === undefined) this.#size += 1;
    of.set(rule.sid, rule);
  }

  #fault(cause: RuleFault, line: number): void {
    const known = this.#faults.get(cause);
    if (known === undefined) this.#faults.set(cause, { count: 1, firstLine: line });
    else known.count += 1;
  }
}
