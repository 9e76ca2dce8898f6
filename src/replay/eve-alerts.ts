import { Counters } from '../base/counters.js';
import { type EveAlert, parseAlert, type UnusableCause } from '../suricata/eve-alert.js';
import { EveReader } from '../suricata/eve-reader.js';
import type { Input } from './input.js';

/** Alerts read ahead of those that were taken. */
const AHEAD = 256;
const NEWLINE = 10;
/** As Suricata writes it, and as programs do that put a space after colons. */
const NULL_SOURCE = ['"src_ip":null', '"src_ip": null'].map((text) => Buffer.from(text));

/** What was read, over all inputs. */
export class ReadCounts {
  /** Records of every type. */
  lines = 0;
  /** Alerts whose time had no offset and was read as UTC. */
  assumedUtc = 0;
  readonly unusable = new Counters<UnusableCause>();
}

/** The alerts of one input, in the order of the file, read piece by piece. */
export class AlertStream {
  readonly #counts: ReadCounts;
  readonly #reader: EveReader;
  readonly #blocks: ReturnType<Input['blocks']>;
  /** Alerts read and not taken yet, from `#next` on. */
  #ready: EveAlert[] = [];
  #next = 0;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(input: Input, longestLine: number, counts: ReadCounts, onBytes: (bytes: number) => void) {
    this.#counts = counts;
    this.#reader = new EveReader(longestLine, { parse: (record) => this.#parse(record) });
    this.#blocks = input.blocks(longestLine, () => this.#reader.passedOver(), onBytes);
  }

  /** The next alert; `null` when more has to be read first. */
  get head(): EveAlert | null {
    return this.#ready[this.#next] ?? null;
  }

  take(): void {
    this.#next += 1;
  }

  /** Reads on until there is an alert. @returns false at the end of the input */
  async more(): Promise<boolean> {
    this.#ready = [];
    this.#next = 0;
    while (this.#ready.length === 0) {
      if (this.#at >= this.#block.length) {
        const { value } = await this.#blocks.next();
        if (value === undefined) return this.#ended();
        if (value.last && !this.#isWhole(value.lines)) continue;
        this.#countNulls(value.lines);
        this.#block = value.lines;
        this.#at = 0;
      }
      this.#at = this.#reader.read(this.#block, this.#at, this.#block.length, this.#ready, AHEAD);
    }
    return true;
  }

  #ended(): false {
    this.#counts.lines += this.#reader.lines;
    for (const [cause, count] of Object.entries(this.#reader.unusable.toJSON())) {
      this.#counts.unusable.add(cause as UnusableCause, count);
    }
    return false;
  }

  /** The last line of a file may have been cut anywhere, also where it still ends with a brace. */
  #isWhole(line: Buffer): boolean {
    try {
      JSON.parse(line.toString('utf8').replace(/^\ufeff/, ''));
      return true;
    } catch {
      this.#counts.lines += 1;
      this.#counts.unusable.add('truncated');
      return false;
    }
  }

  /**
   * Records of any type whose sender is null: no event that a sensor saw, and
   * alone of unusable records neither cut nor an alert.
   */
  #countNulls(lines: Buffer): void {
    for (const key of NULL_SOURCE) {
      for (let at = lines.indexOf(key); at >= 0; at = lines.indexOf(key, at)) {
        const start = lines.lastIndexOf(NEWLINE, at) + 1;
        at = lines.indexOf(NEWLINE, at);
        try {
          const record = JSON.parse(lines.toString('utf8', start, at)) as Record<string, unknown>;
          if (record['src_ip'] === null && record['event_type'] !== 'alert') this.#counts.unusable.add('no_addresses');
        } catch {
          // The reader counts what is no JSON.
        }
      }
    }
  }

  #parse(record: unknown): EveAlert | UnusableCause {
    const alert = parseAlert(record);
    if (alert !== 'no_timestamp') return alert;
    const usable = parseAlert(record, true);
    if (typeof usable !== 'string') this.#counts.assumedUtc += 1;
    return usable;
  }
}
