import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import type { Config } from '../../config/config.js';
import { controlRequest } from '../../daemon/control.js';
import type { LearningState } from '../../daemon/learning.js';
import { durationArgument } from '../address.js';
import { configOf, controlSocket } from '../context.js';
import { CommandExit, EXIT, print, tell, utc } from '../output.js';
import { type LearnOptions, show } from './show.js';

const LOOK_EVERY_MS = 500;
/** A report of several workers takes some time. */
const ANSWER_WITHIN_MS = 15_000;

/** Has the running daemon learn, in any mode. Ctrl-C ends the command and not the learning. */
export async function live(options: LearnOptions): Promise<number> {
  const config = await configOf(options);
  const ask = (path: string) => controlRequest(controlSocket(config), path, ANSWER_WITHIN_MS) as Promise<LearningState>;
  if (options.status) return told(await ask('/learn/status'), config, options);
  if (options.stop) {
    if (options.dryRun) return dry(options, 'would stop learning');
    return told(await ask('/learn/stop'), config, options);
  }
  const seconds = durationArgument('--for', options.for);
  if (seconds === FOREVER) throw new CommandExit(EXIT.usage, '--for forever: learning has to end, such as --for 24h');
  const until = Date.now() + seconds * 1000;
  if (options.dryRun) return dry(options, `would learn until ${utc(until)}`);
  const before = await ask('/learn/status');
  if (before.learning)
    throw new CommandExit(
      EXIT.no,
      `learning already, until ${utc(before.until ?? 0)}: barricata learn --status, barricata learn --stop`,
    );
  await ask(`/learn?for=${seconds}`);
  if (options.background) {
    if (options.output === 'json') print(JSON.stringify({ learning: true, until: new Date(until).toISOString() }));
    else if (!options.quiet) tell(`learning until ${utc(until)}: barricata learn --status shows what is known so far`);
    return EXIT.done;
  }
  if (!options.quiet)
    tell(
      `learning for ${formatDuration(seconds)}; Ctrl-C ends this command, not the learning: barricata learn --status`,
    );
  return told(await waited(ask, options), config, options);
}

/** Until it is over; draws what is known meanwhile on a terminal. */
async function waited(ask: (path: string) => Promise<LearningState>, options: LearnOptions): Promise<LearningState> {
  const shows = process.stderr.isTTY && options.quiet !== true;
  for (;;) {
    const state = await ask(shows ? '/learn/status' : '/learn/brief');
    if (!state.learning) {
      if (shows) process.stderr.write('\r\u001b[K');
      return ask('/learn/status');
    }
    const left = ((state.until ?? 0) - Date.now()) / 1000;
    if (shows) {
      const { packets = 0, connections = 0 } = state.report ?? {};
      process.stderr.write(
        `\r${formatDuration(Math.max(0, left))} left, ${packets} first packets, ${connections} connections\u001b[K`,
      );
    }
    // Long learning is looked at seldom; its end is met all the same.
    const pause = Math.min(shows ? LOOK_EVERY_MS : 10_000, Math.max(100, left * 1000));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

async function told(state: LearningState, config: Config, options: LearnOptions): Promise<number> {
  const { learning, from, until, report } = state;
  if (from === null) {
    if (!options.quiet) tell('nothing was learned yet: barricata learn --for 24h --background');
    if (options.output === 'json' && !options.quiet) print(JSON.stringify({ learning: false, from: null }));
    return EXIT.no;
  }
  const span = `${utc(from)} to ${utc(until ?? from)}`;
  if (!options.quiet) tell(learning ? `learning, ${span}` : `learned, ${span}`);
  if (report === null || report.packets === 0) {
    if (!options.quiet) tell('no first packet reached the filter: see barricata status (mode off filters nothing)');
    if (options.output === 'json' && !options.quiet) print(JSON.stringify({ learning, packets: 0 }));
    return EXIT.done;
  }
  await show(report, config.filter, options, { learning });
  return EXIT.done;
}

function dry(options: LearnOptions, what: string): number {
  if (options.output === 'json') print(JSON.stringify({ outcome: 'dry_run' }));
  else if (!options.quiet) print(what);
  return EXIT.done;
}
