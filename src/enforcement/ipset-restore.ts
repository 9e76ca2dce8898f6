import type { Clock } from '../base/clock.js';
import type { Family } from '../net/address.js';
import { parseWords } from '../net/address.js';
import { type Prefix, prefixOf, widthOf } from '../net/prefix.js';
import type { SetElement, SetHeader } from '../netlink/ipset.js';
import { elementProblem } from '../netlink/ipset-message.js';
import type { CommandResult, Commands } from './command.js';
import { ensureSet, type SetTool } from './ensure-set.js';
import {
  type ApplyResult,
  EnforcementError,
  type EnforcementErrorKind,
  type Gate,
  type KernelElement,
  type ListName,
  type SetBackend,
  type WantedElement,
} from './set-backend.js';
import { Breath, batchOf, FAMILIES, missing, ownSetNames, type SetPlan, setName, setPlans, sizeOf } from './sets.js';

/** After this many single failures in one batch the rest is sent line by line and compared with the set. */
const MOST_RETRIES = 8;
const PAGE = 1000;

interface Line {
  readonly text: string;
  /** `null` for a removal. */
  readonly element: SetElement | null;
  readonly prefix: Prefix;
}

/**
 * The same sets through the `ipset` program, for machines where the foreign
 * function interface cannot load: text on the standard input of `ipset restore`,
 * about fifteen times slower than netlink.
 *
 * `ipset restore` stops at the first line that the kernel refuses and names it;
 * because every line may be repeated (`-exist`), the batch is then sent again
 * without that line. When many fail (a full set) the rest goes through `ipset -`,
 * which goes on after an error, and the set itself is asked what is in it.
 */
export class IpsetRestoreBackend implements SetBackend {
  readonly name = 'ipset-restore';
  readonly #gate: Gate;
  readonly #clock: Clock;
  readonly #maxelem: number;
  readonly #commands: Commands;

  constructor(options: {
    readonly gate: Gate;
    readonly clock: Clock;
    readonly maxelem: number;
    readonly commands: Commands;
  }) {
    this.#gate = options.gate;
    this.#clock = options.clock;
    this.#maxelem = options.maxelem;
    this.#commands = options.commands;
  }

  async open(): Promise<void> {
    const tool = this.#tool();
    for (const plan of setPlans(this.#maxelem)) await ensureSet(tool, plan, this.#gate);
  }

  async apply(list: ListName, add: readonly WantedElement[], remove: readonly Prefix[]): Promise<ApplyResult> {
    const batch = batchOf(list, add, remove, this.#gate, this.#clock.now());
    const failed: ApplyResult['failed'][number][] = [];
    let added = 0;
    let removed = 0;
    for (const family of FAMILIES) {
      const name = setName(list, family);
      const lines: Line[] = [];
      for (const prefix of batch.remove[family]) {
        const problem = elementProblem(prefix, 0);
        if (problem === null) lines.push({ text: `del ${name} ${prefix.text}`, element: null, prefix });
        else failed.push({ text: prefix.text, error: refused(problem) });
      }
      for (const element of batch.add[family]) {
        const { prefix, timeout, fresh } = element;
        const problem = elementProblem(prefix, timeout);
        const counters = fresh === true ? ' packets 0 bytes 0' : '';
        const text = `add ${name} ${prefix.text} timeout ${timeout}${counters}`;
        if (problem === null) lines.push({ text, element, prefix });
        else failed.push({ text: prefix.text, error: refused(problem) });
      }
      if (lines.length === 0) continue;
      const notApplied = await this.#send(name, family, lines);
      for (const [line, error] of notApplied) failed.push({ text: line.prefix.text, error });
      for (const line of lines) {
        if (notApplied.has(line)) continue;
        if (line.element === null) removed += 1;
        else added += 1;
      }
    }
    return { added, removed, refused: batch.refused, failed };
  }

  async *dump(list: ListName): AsyncGenerator<readonly KernelElement[], void, void> {
    for (const family of FAMILIES) yield* this.#pages(setName(list, family), family);
  }

  async *#pages(name: string, family: Family): AsyncGenerator<readonly KernelElement[], void, void> {
    const breath = new Breath();
    let page: KernelElement[] = [];
    for (const element of await this.#save(name, family)) {
      page.push(element);
      if (page.length < PAGE) continue;
      yield page;
      page = [];
      await breath.take();
    }
    if (page.length > 0) yield page;
  }

  async size(list: ListName): Promise<{ ipv4: number; ipv6: number; referenced: boolean }> {
    const header = async (family: Family) => {
      const found = await this.#header(setName(list, family));
      if (found === null) throw missing('ipset list', setName(list, family));
      return found;
    };
    return sizeOf(await header(4), await header(6));
  }

  async find(list: ListName, prefix: Prefix): Promise<KernelElement | null> {
    for (const element of await this.#save(setName(list, prefix.family), prefix.family)) {
      if (element.text === prefix.text) return element;
    }
    return null;
  }

  async close(): Promise<void> {}

  async destroy(): Promise<void> {
    const { stdout } = await this.#ipset(['list', '-n']);
    const present = new Set(stdout.split('\n'));
    const kept: string[] = [];
    for (const name of ownSetNames()) {
      if (!present.has(name)) continue;
      const result = await this.#commands.run('ipset', ['destroy', name]);
      if (result.code !== 0) kept.push(result.stderr.trim());
    }
    if (kept.length > 0) throw new EnforcementError('ipset destroy', 'refused', kept.join('; '));
  }

  /** Sends lines of one set until each is applied or known to fail. */
  async #send(name: string, family: Family, lines: readonly Line[]): Promise<Map<Line, EnforcementError>> {
    const failed = new Map<Line, EnforcementError>();
    let rest = lines;
    while (rest.length > 0) {
      const result = await this.#commands.run('ipset', ['-exist', 'restore'], textOf(rest));
      if (result.code === 0) return failed;
      const error = errorOf('ipset restore', result);
      if (error.kind === 'missing') throw missing('ipset restore', name);
      const at = Number(/in line (\d+)/.exec(result.stderr)?.[1] ?? 0) - 1;
      const line = rest[at];
      if (line === undefined) throw error;
      failed.set(line, error);
      rest = [...rest.slice(0, at), ...rest.slice(at + 1)];
      if (failed.size >= MOST_RETRIES) {
        await this.#sendEach(name, family, rest, error, failed);
        return failed;
      }
    }
    return failed;
  }

  async #sendEach(
    name: string,
    family: Family,
    lines: readonly Line[],
    last: EnforcementError,
    failed: Map<Line, EnforcementError>,
  ): Promise<void> {
    await this.#commands.run('ipset', ['-exist', '-'], textOf(lines));
    const held = new Map<string, number>();
    for (const { text, timeout } of await this.#save(name, family)) held.set(text, timeout);
    for (const line of lines) {
      const timeout = held.get(line.prefix.text);
      if (line.element === null || (timeout !== undefined && Math.abs(timeout - line.element.timeout) <= 5)) continue;
      failed.set(line, new EnforcementError('ipset add', last.kind, `${line.prefix.text}: ${last.message}`));
    }
  }

  /** The `ipset` program as `ensureSet` uses it. */
  #tool(): SetTool {
    return {
      header: (name) => this.#header(name),
      create: async (name, plan) => void (await this.#ipset(['restore'], createLine(name, plan))),
      destroy: async (name) => {
        if ((await this.#header(name)) !== null) await this.#ipset(['destroy', name]);
      },
      swap: async (name, other) => void (await this.#ipset(['swap', name, other])),
      rename: async (name, to) => void (await this.#ipset(['rename', name, to])),
      elements: (name, family) => this.#pages(name, family),
      fill: async (name, _family, elements) => {
        const lines = elements.map(({ prefix, timeout }) => `add ${name} ${prefix.text} timeout ${timeout}\n`);
        await this.#ipset(['restore'], lines.join(''));
      },
    };
  }

  async #header(name: string): Promise<SetHeader | null> {
    const result = await this.#commands.run('ipset', ['list', '-t', name]);
    if (result.code === 0) return parseHeader(result.stdout);
    const error = errorOf('ipset list', result);
    if (error.kind === 'missing') return null;
    throw error;
  }

  async #save(name: string, family: Family): Promise<Generator<KernelElement & { readonly prefix: Prefix }>> {
    const result = await this.#commands.run('ipset', ['save', name]);
    if (result.code !== 0) throw errorOf('ipset save', result);
    return parseSaved(result.stdout, family);
  }

  async #ipset(args: readonly string[], input = ''): Promise<CommandResult> {
    const result = await this.#commands.run('ipset', args, input);
    if (result.code !== 0) throw errorOf(`ipset ${args[0] ?? ''}`, result);
    return result;
  }
}

function createLine(name: string, { type, family, hashsize, maxelem, netmask, timeout, counters }: SetPlan): string {
  const words = ['create', name, type, 'family', family === 4 ? 'inet' : 'inet6', 'hashsize', hashsize];
  if (netmask !== null) words.push('netmask', netmask);
  words.push('maxelem', maxelem, 'timeout', timeout, ...(counters ? ['counters'] : []));
  return `${words.join(' ')}\n`;
}

function textOf(lines: readonly Line[]): string {
  let text = '';
  for (const line of lines) text += `${line.text}\n`;
  return text;
}

/** Reads what `ipset list -t` prints about one set. */
export function parseHeader(text: string): SetHeader {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1] ?? '';
  const header = field('Header');
  const number = (name: string) => {
    const found = new RegExp(`\\b${name} (\\d+)`).exec(header)?.[1];
    return found === undefined ? null : Number(found);
  };
  return {
    name: field('Name'),
    type: field('Type'),
    family: header.includes('family inet6') ? 6 : 4,
    revision: Number(field('Revision')),
    timeout: number('timeout'),
    counters: /\bcounters\b/.test(header),
    maxelem: number('maxelem') ?? 0,
    hashsize: number('hashsize') ?? 0,
    netmask: number('netmask'),
    elements: Number(field('Number of entries')),
    references: Number(field('References')),
  };
}

/** Reads the `add` lines of `ipset save`; lines that are not an address or network are passed over. */
export function* parseSaved(text: string, family: Family): Generator<KernelElement & { readonly prefix: Prefix }> {
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const words = text.slice(start, end).split(' ');
    start = end + 1;
    if (words[0] !== 'add' || words[2] === undefined) continue;
    const [address = '', length] = words[2].split('/');
    const parsed = parseWords(address);
    if (parsed === null || parsed.family !== family) continue;
    const prefix = prefixOf(parsed, length === undefined ? widthOf(family) : Number(length));
    const number = (name: string) => {
      const at = words.indexOf(name, 3);
      return at < 0 ? 0 : Number(words[at + 1]);
    };
    const counts = { timeout: number('timeout'), packets: number('packets'), bytes: number('bytes') };
    yield { prefix, text: prefix.text, ...counts };
  }
}

const PHRASES: readonly (readonly [EnforcementErrorKind, RegExp])[] = [
  ['missing', /set with the given name does not exist|set was created without/],
  ['full', /is full/],
  ['not_permitted', /not permitted|permission denied/i],
  ['unsupported', /Cannot open session to kernel|kernel does not support|module|revision/i],
];

function refused(message: string): EnforcementError {
  return new EnforcementError('ipset restore', 'refused', message);
}

function errorOf(operation: string, { code, stderr }: CommandResult): EnforcementError {
  const kind = PHRASES.find(([, pattern]) => pattern.test(stderr))?.[0] ?? 'refused';
  return new EnforcementError(operation, kind, `${operation}: ${stderr.trim() || `ended with status ${code}`}`);
}
