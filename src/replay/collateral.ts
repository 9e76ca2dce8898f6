import type { EpochMs } from '../base/clock.js';
import { parseHost, prefix } from '../net/prefix.js';
import { PrefixSet } from '../net/prefix-set.js';
import type { BannedAddress, BanTable } from './ban-table.js';
import { type BenignEvent, type BenignKind, benignEvent } from './benign-event.js';
import { ByteField } from './byte-fields.js';

const NEWLINE = 10;
/** Kept of each banned address. */
const ENDS = 20;
const EXAMPLES = 3;
/** Flows with an alert that are remembered. */
const FLOWS = 200_000;

/** Flows that raised an alert: what they carried is no loss. */
export class AlertedFlows {
  readonly #ids = new Set<number>();
  /** Alerts whose flow could not be remembered; what those flows carried counts as benign. */
  forgotten = 0;

  add(flowId: number | null): void {
    if (flowId === null) return;
    if (this.#ids.size < FLOWS || this.#ids.has(flowId)) this.#ids.add(flowId);
    else this.forgotten += 1;
  }

  has(flowId: number): boolean {
    return this.#ids.has(flowId);
  }
}

/** Benign events of a banned address between the beginning and the end of a ban: what it would have cut. */
export interface Collateral {
  readonly counts: Record<BenignKind, number>;
  first: EpochMs;
  last: EpochMs;
  /** The other ends and the ports of the servers, the first ones seen. */
  readonly ends: Map<string, { readonly inside: string; readonly port: number | null; events: number }>;
  readonly examples: {
    readonly at: EpochMs;
    readonly kind: BenignKind;
    readonly inside: string;
    readonly what: string;
  }[];
}

/** Looks for what the bans of one policy would have cut. */
export class CollateralCount {
  readonly #bans: BanTable;
  readonly #networks = new PrefixSet<BannedAddress>();
  readonly #hadAlert: (flowId: number) => boolean;
  readonly #found = new Map<BannedAddress, Collateral>();
  readonly #eventType = new ByteField('event_type');
  readonly #srcIp = new ByteField('src_ip');
  readonly #destIp = new ByteField('dest_ip');

  constructor(bans: BanTable, flows: AlertedFlows) {
    this.#bans = bans;
    this.#hadAlert = (id) => flows.has(id);
    for (const row of bans.values()) if (row.prefix.includes('/')) this.#networks.set(prefix(row.prefix), row);
  }

  of(row: BannedAddress): Collateral | null {
    return this.#found.get(row) ?? null;
  }

  /** Reads complete lines; only those of type flow, http or tls that name a banned address are parsed. */
  read(lines: Buffer): void {
    for (const field of [this.#eventType, this.#srcIp, this.#destIp]) field.in(lines);
    for (let start = 0; start < lines.length; ) {
      let end = lines.indexOf(NEWLINE, start);
      if (end < 0) end = lines.length;
      const type = this.#eventType.text(start, end);
      if (type === 'flow' || type === 'http' || type === 'tls') this.#line(lines, start, end);
      start = end + 1;
    }
  }

  #line(lines: Buffer, start: number, end: number): void {
    const sender = this.#bansOf(this.#srcIp.text(start, end));
    const receiver = this.#bansOf(this.#destIp.text(start, end));
    if (sender.length + receiver.length === 0) return;
    let record: unknown;
    try {
      record = JSON.parse(lines.toString('utf8', start, end));
    } catch {
      return;
    }
    const event = benignEvent(record, this.#hadAlert);
    if (event === null) return;
    const cut = (row: BannedAddress) =>
      row.periods.some(({ from, until }) => event.until >= from && event.from < until);
    const bySender = sender.find(cut);
    if (bySender !== undefined) this.#count(bySender, event, event.server);
    const byReceiver = receiver.find(cut);
    if (byReceiver !== undefined) this.#count(byReceiver, event, event.client);
  }

  /** The bans of an address in any spelling: its own first, then that of a network around it. */
  #bansOf(text: string | null): readonly BannedAddress[] {
    if (text === null) return NOBODY;
    // IPv4 has one spelling, and automatic bans are of networks only where they are of IPv6.
    const plain = this.#bans.get(text);
    if (plain !== undefined || !text.includes(':')) return plain === undefined ? NOBODY : [plain];
    const host = parseHost(text);
    if (host === null) return NOBODY;
    const own = this.#bans.get(host.text);
    const around = this.#networks.covering(host)?.value;
    return [own, around].filter((row) => row !== undefined);
  }

  #count(row: BannedAddress, event: BenignEvent, inside: string): void {
    const at = event.from;
    let found = this.#found.get(row);
    if (found === undefined) {
      found = { counts: { flow: 0, http: 0, tls: 0 }, first: at, last: at, ends: new Map(), examples: [] };
      this.#found.set(row, found);
    }
    found.counts[event.kind] += 1;
    found.first = Math.min(found.first, at);
    found.last = Math.max(found.last, at);
    const key = `${inside} ${event.serverPort}`;
    const end = found.ends.get(key);
    if (end !== undefined) end.events += 1;
    else if (found.ends.size < ENDS) found.ends.set(key, { inside, port: event.serverPort, events: 1 });
    if (found.examples.length < EXAMPLES) found.examples.push({ at, kind: event.kind, inside, what: event.what });
  }
}

const NOBODY: readonly BannedAddress[] = [];
