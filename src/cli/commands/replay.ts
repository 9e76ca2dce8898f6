import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Prefix } from '../../net/prefix.js';
import type { DecisionContext } from '../../policy/context.js';
import { ruleFacts } from '../../policy/rule-facts.js';
import { eveOfCapture } from '../../replay/capture.js';
import { ReplayError } from '../../replay/errors.js';
import { type Input, openInput } from '../../replay/input.js';
import { configOf, type PolicySource } from '../../replay/policy-file.js';
import { type Progress, replay } from '../../replay/replay.js';
import { reportOf } from '../../replay/report.js';
import { type Ruleset, RulesetError, readRuleset } from '../../suricata/ruleset.js';
import { durationArgument, prefixArgument } from '../address.js';
import { DEFAULT_CONFIG, type GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm } from '../output.js';
import { showReplay } from '../replay-screen.js';

interface Options extends GlobalOptions {
  readonly policy?: string;
  readonly against?: string;
  readonly since?: string;
  readonly home?: readonly string[];
  readonly rules?: readonly string[];
  readonly quarantine?: boolean;
  readonly compareNaive?: boolean;
}

/** What a policy would have done with records of the past. Needs no root, no daemon and no Redis. */
export async function run(files: readonly string[], options: Options): Promise<number> {
  const form = outputForm(options.output);
  if (files.filter((file) => file === '-').length > 1)
    throw new CommandExit(EXIT.usage, '- (standard input) can be read only once');
  const since = options.since === undefined ? null : durationArgument('--since', options.since);
  if (options.quarantine && options.rules === undefined)
    throw new CommandExit(EXIT.usage, '--quarantine holds back rules: name them with --rules FILE');
  const source: PolicySource = {
    policy: options.policy ?? null,
    config: options.config,
    named: options.config !== DEFAULT_CONFIG,
    home: (options.home ?? []).map((text): Prefix => prefixArgument(text)),
  };
  const config = configOf(source);
  const against = options.against === undefined ? null : configOf({ ...source, policy: otherPolicy(options) });
  const rules = options.rules ?? [];

  const scratch = mkdtempSync(join(tmpdir(), 'barricata-replay-'));
  const clear = () => rmSync(scratch, { recursive: true, force: true });
  const interrupted = () => {
    clear();
    process.exit(130);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  // A replay makes much garbage and keeps little: collected before the heap has grown to twice what is kept.
  setFlagsFromString('--heap-growing-percent=30');
  setFlagsFromString('--semi-space-growth-factor=1');
  const shows = process.stderr.isTTY && options.quiet !== true;
  const inputs: Input[] = [];
  try {
    const rulesets = await Promise.all(rules.map(readRuleset));
    for (const [index, file] of files.entries()) {
      const ofCapture = (path: string) => eveOfCapture(path, { scratch, rules, home: config.home, index });
      inputs.push(await openInput(file, { scratch, index, ofCapture }));
    }
    const result = await replay({
      inputs,
      config,
      against,
      ruleFacts: factsOf(rulesets),
      since,
      quarantine: options.quarantine === true,
      compareNaive: options.compareNaive === true,
      onProgress: shows ? progressBar() : () => undefined,
    });
    if (shows) process.stderr.write('\r\u001b[K');
    if (!options.quiet) showReplay(form, reportOf(result), process.stdout.columns ?? 120);
    return EXIT.done;
  } catch (error) {
    if (error instanceof ReplayError || error instanceof RulesetError) throw new CommandExit(EXIT.usage, error.message);
    throw error;
  } finally {
    for (const input of inputs) await input.close();
    clear();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

/** What the first of the rules files that has a rule says of it. */
function factsOf(rulesets: readonly Ruleset[]): DecisionContext['ruleFacts'] {
  return (sid, gid) => {
    for (const ruleset of rulesets) {
      const facts = ruleFacts(ruleset, sid, gid);
      if (facts !== null) return facts;
    }
    return null;
  };
}

/** @returns the file of the policy to compare with; `null` = the present one */
function otherPolicy(options: Options): string | null {
  if (options.against !== 'current') return options.against as string;
  if (options.policy === undefined)
    throw new CommandExit(EXIT.usage, '--against current compares with it: name the candidate with --policy FILE');
  return null;
}

/** Draws on standard error, ten times a second at most. */
function progressBar(): (progress: Progress) => void {
  const WIDTH = 30;
  let drawn = 0;
  return ({ bytes, totalBytes, alerts }) => {
    const now = performance.now();
    if (now - drawn < 100 || totalBytes === 0) return;
    drawn = now;
    const share = Math.min(1, bytes / totalBytes);
    const bar = '='.repeat(Math.round(share * WIDTH)).padEnd(WIDTH);
    process.stderr.write(`\r[${bar}] ${Math.floor(share * 100)} %  ${alerts.toLocaleString('en-US')} alerts\u001b[K`);
  };
}
