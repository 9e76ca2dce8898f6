/** The part of a rule before its options, as written; variables such as `$HOME_NET` are not filled in. */
export interface RuleHeader {
  /** `alert`, `drop`, `pass`, `reject`...; with the scope that Suricata 8 adds in its firewall rules, `drop:packet`. */
  readonly action: string;
  readonly protocol: string;
  readonly source: string;
  readonly sourcePorts: string;
  /** `<>` and `=>` look at both directions. */
  readonly arrow: '->' | '<>' | '=>';
  readonly destination: string;
  readonly destinationPorts: string;
}

/** What `flow:` asks of the connection. */
export interface RuleFlow {
  /** Which way the alerting packet goes; `from_client` is `to_server`. `null` = either way. */
  readonly direction: 'to_server' | 'to_client' | null;
  readonly established: boolean;
  readonly notEstablished: boolean;
  readonly stateless: boolean;
}

export type ThresholdTrack = 'by_src' | 'by_dst' | 'by_both' | 'by_rule' | 'by_flow';

/**
 * `threshold` or `detection_filter`. Type `limit` (and `backoff`) only keeps
 * repeated alerts back; the others alert when the count is reached, so that the
 * packet that reached it raised the alert for all of them.
 */
export interface RuleThreshold {
  readonly type: 'limit' | 'threshold' | 'both' | 'backoff' | 'detection_filter';
  /** `null` when the rule does not say, or says something unknown. */
  readonly track: ThresholdTrack | null;
  readonly count: number | null;
  readonly seconds: number | null;
}

/** What is kept of one rule. Parts that many rules share are one object. */
export interface Rule {
  readonly gid: number;
  readonly sid: number;
  /** 0 when the rule has none. */
  readonly rev: number;
  readonly msg: string;
  readonly classtype: string | null;
  readonly priority: number | null;
  readonly header: RuleHeader;
  readonly flow: RuleFlow | null;
  /** The end that the `target` keyword calls the one attacked. */
  readonly target: 'src_ip' | 'dest_ip' | null;
  readonly threshold: RuleThreshold | null;
  /** It only sets flow bits and never alerts. */
  readonly noalert: boolean;
  /** `key value` texts of the metadata, in the order of the rule; see `metadataOf`. */
  readonly metadata: readonly string[];
}

/** Why a line that is neither empty nor a comment gives no rule. */
export type RuleProblem = 'not_a_rule' | 'unfinished' | 'bad_header' | 'no_sid' | 'bad_number';

const ACTIONS = new Set([
  'alert',
  'drop',
  'pass',
  'reject',
  'rejectsrc',
  'rejectdst',
  'rejectboth',
  'sdrop',
  'config',
  'accept',
]);
const ARROWS = new Set(['->', '<>', '=>']);
const TRACKS = new Set(['by_src', 'by_dst', 'by_both', 'by_rule', 'by_flow']);
const THRESHOLD_TYPES = new Set(['limit', 'threshold', 'both', 'backoff']);
const NO_METADATA: readonly string[] = [];
const BACKSLASH = 0x5c;

/** The options of one rule while they are read. */
interface Options {
  gid: number;
  sid: number | null;
  rev: number;
  msg: string;
  classtype: string | null;
  priority: number | null;
  flow: RuleFlow | null;
  target: Rule['target'];
  threshold: RuleThreshold | null;
  noalert: boolean;
  metadata: readonly string[];
}

/**
 * Reads the text of rules (Suricata user guide, "Rules Format"). Options end at
 * a `;` that no backslash precedes, quoted or not, as in Suricata's own parser
 * (SigParseOptions). Unknown options are skipped. One parser a file: equal
 * headers, flows, thresholds and metadata become one object each, and no text
 * kept holds on to the line that it came from.
 */
export class RuleTextParser {
  readonly #headers = new Map<string, RuleHeader | null>();
  readonly #flows = new Map<string, RuleFlow>();
  readonly #thresholds = new Map<string, RuleThreshold>();
  readonly #words = new Map<string, string>();

  /** @param line one whole rule, without line end or continuation; each byte a character (latin1) */
  parse(line: string): Rule | RuleProblem {
    const firstSpace = line.search(/[\s(]/);
    const action = (firstSpace < 0 ? line : line.slice(0, firstSpace)).split(':', 1)[0] as string;
    if (!ACTIONS.has(action)) return 'not_a_rule';
    const open = line.indexOf('(');
    if (open < 0) return 'unfinished';
    const header = this.#header(line.slice(0, open).trim());
    if (header === null) return 'bad_header';
    const end = endOfOptions(line);
    if (end <= open) return 'unfinished';
    const options = this.#options(line, open + 1, end);
    if (typeof options === 'string') return options;
    const { gid, sid, rev, msg, classtype, priority, flow, target, threshold, noalert, metadata } = options;
    if (sid === null) return 'no_sid';
    return { gid, sid, rev, msg, classtype, priority, header, flow, target, threshold, noalert, metadata };
  }

  #options(line: string, from: number, end: number): Options | 'bad_number' | 'unfinished' {
    const options: Options = {
      gid: 1,
      sid: null,
      rev: 0,
      msg: '',
      classtype: null,
      priority: null,
      flow: null,
      target: null,
      threshold: null,
      noalert: false,
      metadata: NO_METADATA,
    };
    for (let at = from; at < end; ) {
      let stop = line.indexOf(';', at);
      while (stop > at && line.charCodeAt(stop - 1) === BACKSLASH) stop = line.indexOf(';', stop + 1);
      if (stop < 0 || stop >= end) return line.slice(at, end).trim() === '' ? options : 'unfinished';
      const colon = line.indexOf(':', at);
      const hasValue = colon >= 0 && colon < stop;
      const name = line.slice(at, hasValue ? colon : stop).trim();
      const value = hasValue ? line.slice(colon + 1, stop).trim() : '';
      if (!this.#take(options, name, value)) return 'bad_number';
      at = stop + 1;
    }
    return options;
  }

  /** @returns whether the value could be read */
  #take(options: Options, name: string, value: string): boolean {
    switch (name) {
      case 'msg':
        options.msg = textOf(value);
        return true;
      case 'sid':
        options.sid = numberOf(value);
        return options.sid !== null && options.sid > 0;
      case 'gid': {
        const gid = numberOf(value);
        if (gid !== null) options.gid = gid;
        return gid !== null;
      }
      case 'rev': {
        const rev = numberOf(value);
        if (rev !== null) options.rev = rev;
        return rev !== null;
      }
      case 'priority':
        options.priority = numberOf(value);
        return true;
      case 'classtype':
        options.classtype = this.#word(value);
        return true;
      case 'flow':
        options.flow = remembered(this.#flows, value, readFlow);
        return true;
      case 'target':
        options.target = value === 'src_ip' || value === 'dest_ip' ? value : null;
        return true;
      case 'threshold':
        options.threshold = remembered(this.#thresholds, value, (text) => readThreshold(text, false));
        return true;
      case 'detection_filter':
        options.threshold = remembered(this.#thresholds, `filter ${value}`, () => readThreshold(value, true));
        return true;
      case 'noalert':
        options.noalert = true;
        return true;
      case 'flowbits':
        if (value === 'noalert') options.noalert = true;
        return true;
      case 'metadata':
        options.metadata = options.metadata.concat(value.split(',').map((pair) => this.#word(pair.trim())));
        return true;
      default:
        return true;
    }
  }

  #header(text: string): RuleHeader | null {
    return remembered(this.#headers, text, readHeader);
  }

  #word(text: string): string {
    return remembered(this.#words, text, utf8Of);
  }
}

/** The metadata of a rule as Suricata writes it into `alert.metadata`: a list of values for each key. */
export function metadataOf(rule: Pick<Rule, 'metadata'>): Record<string, readonly string[]> {
  const values: Record<string, string[]> = Object.create(null);
  for (const pair of rule.metadata) {
    const [key = '', ...rest] = pair.split(/\s+/);
    if (key === '') continue;
    values[key] ??= [];
    values[key].push(rest.join(' '));
  }
  return values;
}

/** Position of the closing bracket, blanks after it left out; -1 when the rule breaks off before. */
function endOfOptions(line: string): number {
  let end = line.length;
  while (end > 0 && line.charCodeAt(end - 1) <= 0x20) end -= 1;
  return line[end - 1] === ')' ? end - 1 : -1;
}

/** A whole number of 32 bits without a sign; `null` for anything else. */
function numberOf(value: string): number | null {
  if (!/^\d{1,10}$/.test(value)) return null;
  const number = Number(value);
  return number <= 0xffff_ffff ? number : null;
}

/** A quoted text as UTF-8, without the backslashes that escape; Suricata drops them before any character. */
function textOf(value: string): string {
  const quoted = value.length >= 2 && value.startsWith('"') && value.endsWith('"');
  const text = (quoted ? value.slice(1, -1) : value).replace(/\\(.)/g, '$1');
  return Buffer.from(text, 'latin1').toString('utf8');
}

function utf8Of(text: string): string {
  const decoded = Buffer.from(text, 'latin1').toString('utf8');
  return decoded === text ? text : decoded;
}

function remembered<Value>(known: Map<string, Value>, text: string, read: (text: string) => Value): Value {
  const found = known.get(text);
  if (found !== undefined) return found;
  // A copy: a slice would keep the whole line in memory.
  const key = Buffer.from(text, 'latin1').toString('latin1');
  const value = read(key);
  known.set(key, value);
  return value;
}

function readHeader(text: string): RuleHeader | null {
  // Lists may hold blanks: [10.0.0.0/8, !10.1.0.0/16].
  const words = text.match(/(?:\[[^\]]*\]|[^\s[\]]|\])+/g) ?? [];
  const [action = '', protocol = '', source, sourcePorts, arrow = '', destination, destinationPorts, ...rest] = words;
  if (source === undefined) {
    // Firewall rules of Suricata 8 may leave addresses out.
    return protocol === '' ? null : { action, protocol, ...ANYWHERE };
  }
  if (sourcePorts === undefined || destination === undefined || destinationPorts === undefined) return null;
  if (!ARROWS.has(arrow) || rest.length > 0) return null;
  return {
    action,
    protocol,
    source,
    sourcePorts,
    arrow: arrow as RuleHeader['arrow'],
    destination,
    destinationPorts,
  };
}

const ANYWHERE = {
  source: 'any',
  sourcePorts: 'any',
  arrow: '->',
  destination: 'any',
  destinationPorts: 'any',
} as const;

function readFlow(text: string): RuleFlow {
  const words = new Set(text.split(',').map((word) => word.trim().toLowerCase()));
  const toServer = words.has('to_server') || words.has('from_client');
  const toClient = words.has('to_client') || words.has('from_server');
  return {
    direction: toServer === toClient ? null : toServer ? 'to_server' : 'to_client',
    established: words.has('established'),
    notEstablished: words.has('not_established'),
    stateless: words.has('stateless'),
  };
}

function readThreshold(text: string, isFilter: boolean): RuleThreshold {
  const values = new Map<string, string>();
  for (const part of text.split(',')) {
    const [name = '', value = ''] = part.trim().split(/[\s:]+/);
    values.set(name, value);
  }
  const type = values.get('type') ?? '';
  const track = values.get('track') ?? '';
  return {
    // An unknown type is taken for one that counts, which makes decisions milder.
    type: isFilter ? 'detection_filter' : THRESHOLD_TYPES.has(type) ? (type as RuleThreshold['type']) : 'both',
    track: TRACKS.has(track) ? (track as ThresholdTrack) : null,
    count: numberOf(values.get('count') ?? ''),
    seconds: numberOf(values.get('seconds') ?? ''),
  };
}
