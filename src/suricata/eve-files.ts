import { closeSync } from 'node:fs';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock, Seconds } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import { type Bookmark, beginsLike, decodeBookmark, type FileMark, holds } from './bookmark.js';
import { DirectoryWatch } from './directory-watch.js';
import { type EveGlob, matchesOf, parseEveGlob } from './eve-glob.js';
import type { OtherRecord } from './eve-reader.js';
import { type EvePathStatus, EveTailer, type EveTailerOptions } from './eve-tailer.js';
import type { TailEvent } from './generations.js';
import { factsOfFd, openForReading } from './open-file.js';

/** New matches are noticed at once where inotify works, else this often (ms). */
const DISCOVER_MS = 1000;
/** A path that is gone for this long (ms) is no longer followed unless it is configured literally. */
const FORGET_MS = 60_000;
/** More matches than any sensor writes: beyond, a pattern is too wide. */
const MOST_PATHS = 256;
/** Events of a working system, logged as information. */
const ORDINARY: ReadonlySet<TailEvent> = new Set(['rotated', 'truncated', 'recovered']);

export interface EveFilesOptions extends Pick<EveTailerOptions, 'longestLine' | 'maxAlertsPerBatch' | 'deliver'> {
  /** Paths, or patterns with `*` and `?` in the last component. */
  readonly globs: readonly string[];
  /** Positions stored earlier, by source path, as batches gave them. */
  readonly positions: ReadonlyMap<string, string>;
  readonly clock: Clock;
  readonly log: Log;
  /** Of a file without a saved position, alerts older than this are left out up to the first that is not. Unset: none. */
  readonly ignoreAlertsOlderThan?: Seconds;
  /** Told of records that are no alerts; must not throw. */
  readonly onOther?: OtherRecord | undefined;
  /** False: poll only. */
  readonly watch?: boolean;
  readonly pollMs?: number;
  readonly graceMs?: number;
}

export interface EveSourceStatus {
  readonly paths: readonly EvePathStatus[];
  /** Entries of the configuration that give nothing or less than they could, with the reason and the fix. */
  readonly problems: readonly { readonly glob: string; readonly problem: string }[];
  /** Saved positions that could not be read and count as none. */
  readonly unreadablePositions: number;
}

/** All the eve files: one tailer for each path that the configuration names, now or later. */
export class EveFiles {
  readonly #options: EveFilesOptions;
  readonly #globs: readonly EveGlob[];
  readonly #log: Log;
  readonly #complaints: RateLimitedLog;
  readonly #watch: DirectoryWatch | null;
  readonly #discoverer: BoundedRunner;
  readonly #tailers = new Map<string, EveTailer>();
  readonly #goneSince = new Map<string, number>();
  readonly #saved = new Map<string, Bookmark>();
  readonly #problems = new Map<string, string>();
  readonly #subscriptions: (() => void)[] = [];
  #unreadablePositions = 0;
  #stopping = false;

  constructor(options: EveFilesOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#complaints = new RateLimitedLog(options.log);
    this.#globs = options.globs.map(parseEveGlob);
    this.#watch =
      options.watch === false
        ? null
        : new DirectoryWatch((directory, message) =>
            this.#complaints.warn(
              `watch ${directory}`,
              { directory },
              `cannot watch ${directory} (${message}): it is looked at every ${this.#pollMs} ms instead`,
            ),
          );
    this.#discoverer = new BoundedRunner({
      clock: options.clock,
      task: async () => this.#discover(),
      atLeast: 50,
      atMost: () => DISCOVER_MS,
      onError: (error) => this.#complaints.warn('discover', {}, `looking for eve files: ${messageOf(error)}`),
    });
  }

  get #pollMs(): number {
    return this.#options.pollMs ?? 250;
  }

  /** Opens every file there is and begins to read; does not wait for the backlog. */
  async start(): Promise<void> {
    this.#stopping = false;
    if (this.#globs.length === 0) return;
    for (const [path, text] of this.#options.positions) {
      if (!path.startsWith('/')) continue;
      const bookmark = decodeBookmark(text);
      if (bookmark) this.#saved.set(path, bookmark);
      else {
        this.#unreadablePositions += 1;
        this.#log.warn({ path }, `the saved position of ${path} is not readable: the file is read from its beginning`);
      }
    }
    for (const directory of new Set(this.#globs.filter((g) => g.pattern).map((g) => g.directory))) {
      const end = this.#watch?.subscribe(directory, (name) => {
        if (name === null || this.#concerns(directory, name)) this.#discoverer.wake();
      });
      if (end) this.#subscriptions.push(end);
    }
    this.#discoverer.start();
  }

  /** Stops reading and waits for the batch under way; one that is being retried is given up, to be read again later. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const end of this.#subscriptions.splice(0)) end();
    await this.#discoverer.stop();
    await Promise.all([...this.#tailers.values()].map((tailer) => tailer.stop()));
    this.#tailers.clear();
    this.#watch?.close();
  }

  status(): EveSourceStatus {
    return {
      paths: [...this.#tailers.values()].map((tailer) => tailer.status()),
      problems: [...this.#problems].map(([glob, problem]) => ({ glob, problem })),
      unreadablePositions: this.#unreadablePositions,
    };
  }

  /** Whether a change to this name may be a match that is not followed yet. */
  #concerns(directory: string, name: string): boolean {
    return this.#globs.some(
      (g) => g.directory === directory && g.pattern?.test(name) && !this.#tailers.has(`${directory}/${name}`),
    );
  }

  #discover(): void {
    if (this.#stopping) return;
    this.#watch?.refresh();
    const wanted = new Set<string>();
    for (const glob of this.#globs) {
      let problem: string | null = null;
      try {
        const matches = matchesOf(glob);
        for (const path of matches) wanted.add(path);
        if (matches.length === 0) {
          problem = `no file matches ${glob.text} yet: check suricata.eve against "filename" of eve-log in suricata.yaml`;
        }
      } catch (error) {
        problem = `cannot list ${glob.directory} (${messageOf(error)}): create it, or correct suricata.eve`;
      }
      this.#note(glob.text, problem);
    }
    for (const path of wanted) this.#follow(path);
    this.#forget(wanted);
  }

  #note(glob: string, problem: string | null): void {
    if (problem === (this.#problems.get(glob) ?? null)) return;
    if (problem === null) this.#problems.delete(glob);
    else {
      this.#problems.set(glob, problem);
      this.#complaints.warn(`glob ${glob}`, { glob }, problem);
    }
  }

  #follow(path: string): void {
    if (this.#tailers.has(path)) return;
    const bookmark = this.#saved.get(path) ?? null;
    if (!bookmark && this.#isReadElsewhere(path)) return;
    if (this.#tailers.size >= MOST_PATHS) {
      this.#complaints.warn('paths', { path }, `more than ${MOST_PATHS} eve files: ${path} is not read`);
      return;
    }
    this.#saved.delete(path);
    const { clock, longestLine, maxAlertsPerBatch, ignoreAlertsOlderThan, graceMs } = this.#options;
    const tailer = new EveTailer({
      path,
      bookmark,
      clock,
      longestLine,
      maxAlertsPerBatch,
      watch: this.#watch,
      pollMs: this.#pollMs,
      graceMs: graceMs ?? 5000,
      deliver: this.#options.deliver,
      onOther: this.#options.onOther,
      firstOffset: (fd) => this.#offsetElsewhere(fd, path),
      ignoreBefore: () =>
        ignoreAlertsOlderThan === undefined ? Number.NEGATIVE_INFINITY : clock.now() - ignoreAlertsOlderThan * 1000,
      onEvent: (event, detail) => {
        if (ORDINARY.has(event)) this.#log.info({ source: path, event }, `${path}: ${detail}`);
        else this.#complaints.warn(`${event} ${path}`, { source: path, event }, `${path}: ${detail}`);
      },
    });
    this.#tailers.set(path, tailer);
    tailer.start();
  }

  /** Paths that matched a pattern and are gone for good, as dated names are, are followed no longer. */
  #forget(wanted: ReadonlySet<string>): void {
    const now = this.#options.clock.monotonic();
    for (const [path, tailer] of this.#tailers) {
      if (wanted.has(path) || !tailer.isGone) {
        this.#goneSince.delete(path);
        continue;
      }
      const since = this.#goneSince.get(path) ?? now;
      this.#goneSince.set(path, since);
      if (now - since < FORGET_MS) continue;
      this.#tailers.delete(path);
      this.#goneSince.delete(path);
      tailer.stop().catch((error) => this.#log.warn({ path }, messageOf(error)));
    }
  }

  /** Whether another path's tailer holds this file: a link to it, or a rotated name that matches the pattern as well. */
  #isReadElsewhere(path: string): boolean {
    let fd: number;
    try {
      fd = openForReading(path);
    } catch {
      return false;
    }
    try {
      const { dev, ino } = factsOfFd(fd);
      return [...this.#tailers.values()].some((tailer) => tailer.isOpen(dev, ino));
    } finally {
      closeSync(fd);
    }
  }

  /** How much of a file was read under another path's name: all of a copy of something that was read, else up to the mark. */
  #offsetElsewhere(fd: number, path: string): number {
    const marks: FileMark[] = [...this.#tailers.values()]
      .filter((tailer) => tailer.path !== path)
      .flatMap((tailer) => tailer.marks())
      .concat([...this.#saved.values()].flatMap((bookmark) => [...bookmark.past, ...bookmark.files]));
    const known = marks.findLast((mark) => holds(fd, mark));
    if (known) return known.offset;
    return marks.some((mark) => beginsLike(fd, mark)) ? factsOfFd(fd).size : 0;
  }
}
