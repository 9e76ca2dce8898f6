/**
 * replay: what a policy would have done with records that Suricata wrote
 * earlier. The first pass takes the alerts of all inputs in the order of their
 * time and decides each (`judge`); the second looks for the benign events that
 * the bans found then would have cut (`collateral`), which only then is known.
 * What is kept is bounded whatever the inputs hold. No daemon, no Redis, no
 * fact of this machine: the same inputs and options give the same result
 * anywhere and at any time.
 */
import type { EpochMs, Seconds } from '../base/clock.js';
import type { Config } from '../config/config.js';
import type { DecisionContext } from '../policy/context.js';
import { parseTimestamp } from '../suricata/timestamp.js';
import { alertsInOrder } from './alerts-in-order.js';
import { ByteField } from './byte-fields.js';
import { AlertedFlows, CollateralCount } from './collateral.js';
import { Comparison, type Difference } from './comparison.js';
import { AlertStream, ReadCounts } from './eve-alerts.js';
import type { Input } from './input.js';
import { Judge } from './judge.js';
import { NaiveBlocker, type NaiveResult } from './naive.js';

const NEWLINE = 10;

export interface ReplayOptions {
  readonly inputs: readonly Input[];
  readonly config: Config;
  /** A second policy to compare with: the present one. */
  readonly against: Config | null;
  readonly ruleFacts: DecisionContext['ruleFacts'];
  /** Only alerts of so long before the newest record of all inputs. */
  readonly since: Seconds | null;
  /** Take every rule that was given for new, as after an update: it only would ban at first. */
  readonly quarantine: boolean;
  readonly compareNaive: boolean;
  readonly onProgress: (progress: Progress) => void;
}

export interface Progress {
  /** Of all passes. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly alerts: number;
}

export interface ReplayResult {
  readonly counts: ReadCounts;
  /** Alerts that were decided. */
  readonly alerts: number;
  /** Alerts left out by `since`. */
  readonly older: number;
  /** Of the alerts that were decided. */
  readonly first: EpochMs | null;
  readonly last: EpochMs | null;
  readonly judged: Judged;
  readonly against: (Judged & { readonly difference: Difference }) | null;
  readonly naive: NaiveResult | null;
  readonly flows: AlertedFlows;
}

/** One policy's decisions, and what its bans would have cut. */
export interface Judged {
  readonly judge: Judge;
  readonly collateral: CollateralCount;
}

/** @throws ReplayError when an input turns out to be damaged */
export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  const { inputs, config, ruleFacts, quarantine } = options;
  const progress = new PassProgress(inputs, options.since === null ? 2 : 3, options.onProgress);
  const begin = options.since === null ? null : (await newestRecord(inputs, config, progress)) - options.since * 1000;

  const judge = new Judge(config, ruleFacts, quarantine);
  const present = options.against === null ? null : new Judge(options.against, ruleFacts, quarantine);
  const comparison = present === null ? null : new Comparison(judge, present);
  const naive = options.compareNaive ? new NaiveBlocker(config.home) : null;
  const flows = new AlertedFlows();
  const counts = new ReadCounts();
  let alerts = 0;
  let older = 0;
  let first: EpochMs | null = null;
  let last: EpochMs | null = null;
  const streams = inputs.map(
    (input) => new AlertStream(input, config.suricata.longestLine, counts, (bytes) => progress.read(bytes, alerts)),
  );
  for await (const alert of alertsInOrder(streams)) {
    if (begin !== null && alert.at < begin) {
      older += 1;
      continue;
    }
    alerts += 1;
    first = first === null ? alert.at : Math.min(first, alert.at);
    last = last === null ? alert.at : Math.max(last, alert.at);
    naive?.add(alert);
    const decision = judge.judge(alert);
    if (decision.kind !== 'ignore') flows.add(alert.flowId);
    if (present !== null) comparison?.add(alert, decision, present.judge(alert));
  }

  const judged = { judge, collateral: new CollateralCount(judge.bans, flows) };
  const other = present === null ? null : { judge: present, collateral: new CollateralCount(present.bans, flows) };
  const seekers = [judged, ...(other === null ? [] : [other])].filter(({ judge: { bans } }) => bans.size > 0);
  if (seekers.length > 0) {
    for (const input of inputs) {
      const blocks = input.blocks(config.suricata.longestLine, ignored, (bytes) => progress.read(bytes, alerts));
      for await (const { lines } of blocks) for (const { collateral } of seekers) collateral.read(lines);
    }
  }
  const against = other === null || comparison === null ? null : { ...other, difference: comparison.result() };
  return { counts, alerts, older, first, last, judged, against, naive: naive?.result() ?? null, flows };
}

/** The latest time of any record: what `since` counts back from, so that it means the same on any day. */
async function newestRecord(inputs: readonly Input[], config: Config, progress: PassProgress): Promise<EpochMs> {
  const timestamp = new ByteField('timestamp');
  let newest = Number.NEGATIVE_INFINITY;
  for (const input of inputs) {
    for await (const { lines } of input.blocks(config.suricata.longestLine, ignored, (b) => progress.read(b, 0))) {
      timestamp.in(lines);
      for (let start = 0; start < lines.length; ) {
        let end = lines.indexOf(NEWLINE, start);
        if (end < 0) end = lines.length;
        const at = parseTimestamp(timestamp.text(start, end), true);
        if (at !== null && at > newest) newest = at;
        start = end + 1;
      }
    }
  }
  return newest;
}

/** Longer lines were counted in the pass that reads alerts. */
function ignored(): void {}

/** Bytes read of those that all passes will read. */
class PassProgress {
  readonly #total: number;
  readonly #tell: ReplayOptions['onProgress'];
  #bytes = 0;

  constructor(inputs: readonly Input[], passes: number, tell: ReplayOptions['onProgress']) {
    this.#total = passes * inputs.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#tell = tell;
  }

  read(bytes: number, alerts: number): void {
    this.#bytes += bytes;
    this.#tell({ bytes: this.#bytes, totalBytes: this.#total, alerts });
  }
}
