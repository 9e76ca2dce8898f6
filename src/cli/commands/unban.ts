import type { ListedEntry } from '../../blocklist/manual.js';
import type { Config } from '../../config/config.js';
import { controlRequest } from '../../daemon/control.js';
import type { Prefix } from '../../net/prefix.js';
import { durationArgument, endOf, prefixArgument } from '../address.js';
import { bansOf, withBlocklist } from '../blocklist.js';
import { type Report, reporter } from '../change.js';
import { configOf, controlSocket } from '../context.js';
import { kernelView, MANY_WITHIN_MS, settles, waitForKernel } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, tell } from '../output.js';
import { bansBySid, liftMany, type Reasons, sidsOf } from '../unban-many.js';

interface Options extends GlobalOptions {
  readonly reason?: string;
  readonly ticket?: string;
  readonly andAllow?: string;
  readonly falsePositive?: boolean;
  readonly siblings?: boolean;
  readonly sid?: number;
  readonly since?: string;
  readonly held?: boolean;
  readonly yes?: boolean;
}

/** Lifts every ban of exactly this prefix, on every host, and pardons it; those of a signature; or accepts a held loss. */
export async function run([address]: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  const report = reporter(options);
  const of: Reasons = {
    reason: options.reason ?? (options.falsePositive ? 'false positive' : 'lifted by hand'),
    ticket: options.ticket ?? null,
    falsePositive: options.falsePositive === true,
  };
  if (options.held) return acceptHeld(config, of.reason, options, report);
  if (options.siblings && !options.falsePositive)
    throw new CommandExit(EXIT.usage, '--siblings goes with --false-positive');
  if (options.since !== undefined && options.sid === undefined)
    throw new CommandExit(EXIT.usage, '--since goes with --sid');
  if (options.sid === undefined) return unban(config, prefixArgument(address), of, options, report);
  if (address !== undefined)
    throw new CommandExit(EXIT.usage, 'an address or --sid, not both; to look first: barricata list --sid N');
  const { sid } = options;
  const since = options.since === undefined ? null : durationArgument('--since', options.since);
  return withBlocklist(config, options, async (blocklist) => {
    const found = await bansBySid(blocklist.acts, [sid], since);
    const what = `by sid ${sid}${since === null ? '' : ` whose last alert came within ${options.since}`}`;
    return liftMany(config, blocklist, found, what, of, options, report);
  });
}

async function unban(config: Config, prefix: Prefix, of: Reasons, options: Options, report: Report): Promise<number> {
  const { text } = prefix;
  const allowFor = options.andAllow === undefined ? null : durationArgument('--and-allow', options.andAllow);
  return withBlocklist(config, options, async (blocklist) => {
    const { acts, actor } = blocklist;
    if (options.siblings) {
      const own = await acts.find('ban', text);
      const found = own.length === 0 ? [] : await bansBySid(acts, sidsOf(own), null);
      return liftMany(config, blocklist, [...own, ...found], `by the signatures of ${text}`, of, options, report);
    }
    if (options.dryRun) {
      const bans = await bansOf(config, acts, prefix);
      const own = bans.filter((entry) => entry.address === text);
      const count = `${own.length} ban${own.length === 1 ? '' : 's'}`;
      const wider = bans.filter((entry) => entry.address !== text);
      report({ address: text, outcome: 'dry_run' }, `would lift ${count} of ${text}`, ...stillBanned(wider));
      return own.length > 0 ? EXIT.done : EXIT.no;
    }
    if (allowFor !== null)
      await acts.allow({ address: text, until: endOf(allowFor), reason: of.reason, ticket: of.ticket }, actor);
    const removed = await acts.unban([text], of, actor);
    const wider = (await bansOf(config, acts, prefix)).filter((entry) => entry.address !== text);
    const stillBannedBy = [...new Set(wider.map((entry) => entry.address))];
    if (removed.length === 0 && allowFor === null) {
      report(
        { address: text, outcome: 'absent', stillBannedBy },
        `${text} is not banned${wider.length > 0 ? ' by itself' : ''}`,
        ...stillBanned(wider),
      );
      return EXIT.no;
    }
    const outcome = removed.length > 0 ? 'removed' : 'absent';
    const { kernel, milliseconds, problem } = await waitForKernel(
      config,
      text,
      (view) => !view.inKernel && (allowFor === null || view.allowed),
    );
    const change = { address: text, outcome, kernel, milliseconds, ...(allowFor === null ? { stillBannedBy } : {}) };
    if (problem !== null) {
      tell(`lifted in Redis; the kernel ${kernel === null ? 'could not be checked' : 'does not follow'}: ${problem}`);
      report(change);
      return EXIT.notInKernel;
    }
    report(
      change,
      removed.length > 0
        ? `unbanned ${text} (${removed[0]?.record.reason ?? ''}), out of the kernel after ${milliseconds} ms`
        : `${text} is not banned`,
      ...(allowFor === null ? stillBanned(wider) : [`${text} is allowed for ${options.andAllow}`]),
      ...(removed.length > 0 ? [`undo: barricata ban ${text} --for 1h --reason "..."`] : []),
    );
    return EXIT.done;
  });
}

function stillBanned(wider: readonly ListedEntry[]): string[] {
  return wider.map(
    ({ address, host }) =>
      `still banned as part of ${address}${host === null ? '' : ` on host ${host}`}: barricata unban ${address}`,
  );
}

/** Accepts a held loss, and waits until the held entries are let go and out of the kernel. */
async function acceptHeld(config: Config, reason: string, options: Options, report: Report): Promise<number> {
  const ask = () => controlRequest(controlSocket(config), '/held') as Promise<{ held: number; sample: string[] }>;
  const { held, sample } = await ask();
  if (held === 0) {
    report({ outcome: 'absent' }, 'nothing is held');
    return EXIT.no;
  }
  if (options.dryRun) {
    report({ outcome: 'dry_run' }, `would accept the loss of ${held} entries`);
    return EXIT.done;
  }
  return withBlocklist(config, options, async ({ acts, actor }) => {
    await acts.acceptHeld(reason, actor);
    const { kernel, milliseconds, problem } = await settles(async () => {
      const now = await ask();
      if (now.held > 0) return `${now.held} entries are still held`;
      for (const address of sample) {
        if (!(await kernelView(config, address)).inKernel) continue;
        // A key written meanwhile bans it anew.
        if ((await acts.find('ban', address)).length === 0) return `${address} is still in the kernel`;
      }
      return null;
    }, MANY_WITHIN_MS);
    if (problem !== null) tell(`the loss is accepted in Redis; the kernel does not follow: ${problem}`);
    report(
      { outcome: 'removed', kernel, milliseconds },
      ...(problem === null
        ? [`the loss of ${held} entries is accepted; they are out of the kernel after ${milliseconds} ms`]
        : []),
    );
    return problem === null ? EXIT.done : EXIT.notInKernel;
  });
}
