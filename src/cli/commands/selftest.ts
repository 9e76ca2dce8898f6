import { existsSync } from 'node:fs';
import { parseConfig, readConfigText, readDocument } from '../../config/load.js';
import { DEFAULT_CONFIG, type GlobalOptions } from '../options.js';
import { type Column, CommandExit, EXIT, mark, outputForm, print, printRows, tell } from '../output.js';
import { attempt, type Bench, type Score, untested } from '../selftest/score.js';
import { Subject } from '../selftest/subject.js';
import { type Trial, trialsOf } from '../selftest/trials.js';
import { PORT, SERVER, World } from '../selftest/world.js';

interface Options extends GlobalOptions {
  readonly only?: string;
}

/** Attacks a Barricata of this build with each detector's attack, in namespaces that are gone afterwards. */
export async function run(_args: readonly string[], options: Options): Promise<number> {
  const form = outputForm(options.output);
  const { base, filter } = settingsOf(options.config);
  const all = trialsOf(parseConfig(JSON.stringify({ filter }), options.config).filter);
  const trials = chosen(all, options.only);
  if (options.dryRun) {
    const names = trials.filter(({ off }) => off === null).map(({ name }) => name);
    if (!options.quiet)
      print(
        form === 'json' ? JSON.stringify({ outcome: 'dry_run', attacks: names }) : `would attack: ${names.join(', ')}`,
      );
    return EXIT.done;
  }
  if (process.getuid?.() !== 0)
    throw new CommandExit(EXIT.unreachable, 'selftest makes network namespaces: run as root (sudo)');
  const stop = new AbortController();
  const interrupted = () => stop.abort();
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  const shows = form === 'table' && options.quiet !== true;
  try {
    const scores = await inWorld(base, filter, trials, options.only !== undefined, stop.signal, (text) => {
      if (shows) process.stderr.write(process.stderr.isTTY ? `\r${text}\u001b[K` : '');
    });
    if (shows && process.stderr.isTTY) process.stderr.write('\r\u001b[K');
    if (!options.quiet) report(form, scores);
    return scores.every(({ ok }) => ok) ? EXIT.done : EXIT.no;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    tell('interrupted; everything was removed');
    return 130;
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

/** What of the present configuration is tested. A list of thresholds for hours is tested as the one that holds otherwise. */
function settingsOf(file: string): { base: Record<string, unknown>; filter: Record<string, unknown> } {
  const text = file === DEFAULT_CONFIG && !existsSync(file) ? '' : readConfigText(file);
  const { root } = readDocument(text, file);
  const filter = Object.entries((root['filter'] ?? {}) as Record<string, unknown>).map(([key, value]) => {
    if (!Array.isArray(value) || key === 'rules') return [key, value] as const;
    const entries = value as Record<string, unknown>[];
    const { between: _, ...entry } = entries.find(({ between }) => between === undefined) ?? entries[0] ?? {};
    return [key, entry] as const;
  });
  const queue = root['queue'];
  return { base: queue === undefined ? {} : { queue }, filter: Object.fromEntries(filter) };
}

function chosen(all: readonly Trial[], only: string | undefined): readonly Trial[] {
  if (only === undefined) return all;
  const names = only.split(',').map((name) => name.trim());
  const known: string[] = all.map(({ name }) => name);
  for (const name of names) {
    if (!known.includes(name)) throw new CommandExit(EXIT.usage, `--only ${name}: the attacks are ${known.join(', ')}`);
  }
  return all.filter(({ name }) => names.includes(name));
}

async function inWorld(
  base: Record<string, unknown>,
  filter: Record<string, unknown>,
  trials: readonly Trial[],
  patient: boolean,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<Score[]> {
  const scores: Score[] = [];
  const world = new World();
  const subject = new Subject(world, base);
  try {
    progress('making three namespaces');
    await world.make();
    signal.throwIfAborted();
    progress('starting Barricata in one of them');
    await subject.start(filter);
    const began = performance.now();
    await world.actor(world.server, 'server', String(PORT));
    const client = await world.actor(world.client, 'client', SERVER, String(PORT));
    const sender = await world.actor(world.attacker, 'sender', 'eth0', world.gateway);
    const bench: Bench = { world, subject, sender, client, signal };
    for (const trial of trials) {
      signal.throwIfAborted();
      const { name, off, without, notBefore } = trial;
      const early = notBefore - (performance.now() - began) / 1000;
      if (off !== null) scores.push(untested(name, off === 'off' ? 'off' : 'not tested', off === 'off' ? '' : off));
      else if (early > 0 && !patient) {
        const detail = `needs ${notBefore} s from the start on: barricata selftest --only ${name}`;
        scores.push(untested(name, 'not tested', detail));
      } else {
        progress(early > 0 ? `${name}: waiting ${Math.ceil(early)} s` : name);
        await waited(early, signal);
        const other = Object.fromEntries(without.map((key) => [key, 'off']));
        if (without.length > 0) await subject.change({ ...filter, ...other });
        scores.push(await attempted(trial, bench));
        if (without.length > 0) await subject.change(filter);
      }
    }
    return scores;
  } finally {
    await subject.remove();
    await world.remove();
  }
}

/**
 * A sender that the machine does not let run is slower than its threshold: what
 * nobody noticed is tried once more, faster.
 */
async function attempted(trial: Trial, bench: Bench): Promise<Score> {
  const score = await attempt(trial, bench);
  if (score.result !== 'missed' || (trial.expected !== 'ban' && trial.expected !== 'flood')) return score;
  const { shots } = trial;
  const again = await attempt({ ...trial, shots: { ...shots, perSecond: shots.perSecond * 2 } }, bench);
  return { ...again, detail: [again.detail, 'at the second attempt'].filter(Boolean).join(', ') };
}

async function waited(seconds: number, signal: AbortSignal): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, Math.min(200, Math.max(0, end - performance.now()))));
  }
}

const COLUMNS: readonly Column<Score>[] = [
  { title: 'ATTACK', value: ({ name }) => name },
  { title: 'RESULT', value: ({ result, ok }) => (ok ? result : result.toUpperCase()) },
  { title: 'AFTER', value: ({ after }) => (after === null ? '-' : `${after} ms`), align: 'right' },
  { title: 'SENT', value: ({ sent }) => String(sent), align: 'right' },
  { title: 'PASSED', value: ({ passed }) => (passed === null ? '-' : String(passed)), align: 'right' },
  { title: 'SERVED', value: ({ served }) => String(served), align: 'right' },
  { title: 'FAILED', value: ({ failed }) => String(failed), align: 'right' },
  { title: 'DETAIL', value: ({ detail }) => detail || '-', elastic: true },
];

function report(form: ReturnType<typeof outputForm>, scores: readonly Score[]): void {
  const tested = scores.filter(({ result }) => result !== 'off' && result !== 'not tested');
  const good = tested.filter(({ ok }) => ok).length;
  if (form === 'json') {
    print(JSON.stringify({ passed: good === tested.length, good, tested: tested.length, scores }));
    return;
  }
  printRows(form, scores, COLUMNS, (score) => score);
  const line = `${good} of ${tested.length} as they should be; SERVED and FAILED are connections of an innocent client meanwhile`;
  if (form === 'table') print(mark(good === tested.length ? 'good' : 'bad', line));
  else tell(line);
}
