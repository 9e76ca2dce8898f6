import { type EpochMs, FOREVER, type Seconds } from '../base/clock.js';
import type { Config } from '../config/config.js';
import { isoOf } from '../policy/record.js';
import type { BannedAddress, BanTable } from './ban-table.js';
import type { Collateral, CollateralCount } from './collateral.js';
import { bannedFor, type Difference } from './comparison.js';
import type { Tally } from './judge.js';
import type { Judged, ReplayResult } from './replay.js';
import { alertsOf } from './signature-tally.js';

/** Times are ISO 8601 UTC; an end that is `null` never comes. */
export type ReplayReport = ReturnType<typeof reportOf>;
export type BanReport = ReturnType<typeof banReport>;

/** The result as `replay -o json` prints it. */
export function reportOf(result: ReplayResult) {
  const { judged, against, counts, flows } = result;
  const { judge, collateral } = judged;
  return {
    alerts: result.alerts,
    ...tallyReport(judge.tally),
    first: iso(result.first),
    last: iso(result.last),
    policy: { file: judge.config.file, version: judge.config.policyVersion },
    bans: bansOf(judge.bans, judge.config, collateral),
    wouldBans: bansOf(judge.wouldBans, judge.config, null),
    flags: [...judge.flags.values()].map((flag) => ({ ...flag, first: isoOf(flag.first), last: isoOf(flag.last) })),
    signatures: judge.signatures.rows().map((row) => ({ ...row, alerts: alertsOf(row) })),
    /** Records by why they cannot be used. */
    unusable: counts.unusable.toJSON(),
    lines: counts.lines,
    assumedUtc: counts.assumedUtc,
    olderThanSince: result.older,
    /** What was counted and not listed, so that memory stays bounded. */
    unlisted: {
      bans: judge.bans.unlisted,
      wouldBans: judge.wouldBans.unlisted,
      flags: judge.flags.unlisted,
      signatures: judge.signatures.unlisted,
      flows: flows.forgotten,
    },
    ...(against === null ? {} : { against: againstReport(against) }),
    ...(result.naive === null ? {} : { naive: result.naive }),
  };
}

/** Names of CONTRACT section 2. */
function tallyReport(tally: Tally) {
  return {
    ignored: tally.ignore,
    noted: tally.note,
    flagged: tally.flag,
    refused: tally.refused,
    banned: tally.ban,
    wouldBan: tally.would_ban,
  };
}

function againstReport({ judge, collateral, difference }: Judged & { readonly difference: Difference }) {
  return {
    policy: { file: judge.config.file, version: judge.config.policyVersion },
    ...tallyReport(judge.tally),
    bans: bansOf(judge.bans, judge.config, collateral),
    added: difference.added,
    removed: difference.removed,
    changed: difference.changed.map(({ address, before, after }) => ({
      address,
      before: lasting(before),
      after: lasting(after),
    })),
  };
}

function bansOf(table: BanTable, config: Config, collateral: CollateralCount | null) {
  const lines = new Map(config.policy.map(({ name, line }) => [name, line]));
  return [...table.values()].map((row) => banReport(row, lines, collateral?.of(row) ?? null));
}

function banReport(row: BannedAddress, lines: ReadonlyMap<string, number>, collateral: Collateral | null) {
  const { cause, periods } = row;
  const last = periods.at(-1);
  return {
    address: row.prefix,
    sid: cause.sid,
    gid: cause.gid,
    rev: cause.rev,
    signature: cause.signature,
    category: cause.category,
    policy: cause.policy,
    /** Of the policy's file; 0 where the policy is the built-in one. */
    line: cause.policy === null ? null : (lines.get(cause.policy) ?? null),
    at: iso(periods[0]?.from ?? null),
    until: iso(last?.until ?? null),
    /** Seconds in all bans; `null` = for good. */
    bannedFor: lasting(bannedFor(row)),
    /** Separate bans: those between which it had ended. */
    times: periods.length,
    alerts: row.alerts,
    proven: row.proven,
    proof: cause.proof,
    scope: cause.scope,
    target: cause.target,
    resolvedBy: cause.resolved_by,
    ...(row.why === null ? {} : { why: row.why }),
    collateral: collateral && collateralReport(collateral),
  };
}

function collateralReport({ counts, first, last, ends, examples }: Collateral) {
  return {
    events: counts.flow + counts.http + counts.tls,
    ...counts,
    first: isoOf(first),
    last: isoOf(last),
    ends: [...ends.values()],
    examples: examples.map((example) => ({ ...example, at: isoOf(example.at) })),
  };
}

function iso(at: EpochMs | null): string | null {
  return at === null || at === FOREVER ? null : isoOf(at);
}

/** Seconds; `null` = for good. */
function lasting(seconds: Seconds): Seconds | null {
  return seconds === FOREVER ? null : seconds;
}
