import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock, EpochMs } from '../base/clock.js';
import { Counters } from '../base/counters.js';
import type { Bookmark, FileMark } from './bookmark.js';
import type { DirectoryWatch } from './directory-watch.js';
import type { EveAlert, EveBatch } from './eve-alert.js';
import { EveReader, type OtherRecord } from './eve-reader.js';
import { Generations, type TailEvent } from './generations.js';
import type { OpenFile } from './open-file.js';
import { parseTimestamp } from './timestamp.js';

/** How long (ms) reading may hold the event loop before others get a turn. */
const SLICE_MS = 3;
/** How long (ms) an alert may wait for others to share its batch while a backlog is read. */
const GATHER_MS = 20;
/** How often (ms) the position is handed on while no alerts come. */
const POSITION_MS = 1000;
/** A file that did not grow for this long (ms) gives its buffer back and is looked at less often. */
const QUIET_MS = 10_000;

export interface EveTailerOptions {
  /** One file or symbolic link; need not exist yet. */
  readonly path: string;
  readonly bookmark: Bookmark | null;
  readonly clock: Clock;
  readonly longestLine: number;
  readonly maxAlertsPerBatch: number;
  /** Called with one batch at a time, in file order; nothing more is read until it resolves. Must not reject unless stopping. */
  readonly deliver: (batch: EveBatch) => Promise<void>;
  readonly onEvent: (event: TailEvent, detail: string) => void;
  /** Told of records that are no alerts. */
  readonly onOther?: OtherRecord | undefined;
  /** `null`: poll only. */
  readonly watch: DirectoryWatch | null;
  readonly firstOffset: (fd: number) => number;
  readonly ignoreBefore: () => EpochMs;
  /** How long (ms) an old inode is kept open after it last grew: Suricata writes to it until SIGHUP. */
  readonly graceMs: number;
  readonly pollMs: number;
}

export interface EvePathStatus {
  /** The path as configured or matched. */
  readonly source: string;
  /** Whether the file is open and being read. */
  readonly opened: boolean;
  /** What keeps it from being read, with the fix; `null` when nothing does, or it does not exist yet. */
  readonly problem: string | null;
  readonly lines: number;
  /** Usable alerts read. */
  readonly alerts: number;
  /** Old alerts left out of a file that was read for the first time. */
  readonly old: number;
  /** Age of the oldest complete line that was not read yet; 0 when all was read. */
  readonly lagSeconds: number;
  /** Lines that could not be used, by cause. */
  readonly unusable: Record<string, number>;
  readonly events: Record<string, number>;
}

/**
 * Follows one path through every kind of rotation and hands on the alerts in
 * it. The file is the queue: while a batch is being handled nothing is read,
 * though rotations are still noticed and new files pinned. A batch carries the
 * position just after it; storing both together loses nothing and repeats nothing.
 *
 * Small reads are synchronous, so that a line is handed on in the same turn of
 * the event loop in which the kernel reports the write.
 */
export class EveTailer {
  readonly #options: EveTailerOptions;
  readonly #generations: Generations;
  readonly #reader: EveReader;
  readonly #runner: BoundedRunner;
  readonly #events = new Counters<TailEvent>();
  readonly #subscriptions = new Map<string, () => void>();
  #bookmark: Bookmark | null;
  #pending: EveAlert[] = [];
  /** When the first of `#pending` was read. */
  #pendingSince = 0;
  #linesHandedOn = 0;
  /** Whether the position is ahead of the one handed on last. */
  #moved = false;
  #handedOnAt = Number.NEGATIVE_INFINITY;
  #draining: Promise<void> | null = null;
  #again = false;
  #stopping = false;
  #grewAt: number;
  #caughtUpAt: EpochMs;

  constructor(options: EveTailerOptions) {
    this.#options = options;
    this.#bookmark = options.bookmark;
    this.#reader = new EveReader(options.longestLine, { onOther: options.onOther });
    this.#grewAt = options.clock.monotonic();
    this.#caughtUpAt = options.clock.now();
    this.#generations = new Generations({ ...options, onEvent: (event, detail) => this.#onEvent(event, detail) });
    this.#runner = new BoundedRunner({
      clock: options.clock,
      task: () => this.#turn(),
      // At most a thousand looks a second: a busy sensor must not cost more than its lines do.
      atLeast: 1,
      atMost: () => (this.#isQuiet() && options.watch ? options.pollMs * 4 : options.pollMs),
      onError: (error) => this.#failed(error),
    });
  }

  get path(): string {
    return this.#options.path;
  }

  /** Marks of all files that are open or were read lately. */
  marks(): FileMark[] {
    return this.#generations.marks();
  }

  /** Whether this file is open here. */
  isOpen(dev: string, ino: string): boolean {
    return this.#generations.files.some((file) => file.id.ino === ino && file.id.dev === dev);
  }

  /** Whether nothing is open and nothing exists at the path. */
  get isGone(): boolean {
    return this.#generations.files.length === 0 && this.#generations.problem === null && this.#bookmark === null;
  }

  start(): void {
    this.#stopping = false;
    this.#subscribe();
    this.#runner.start();
  }

  /** Stops reading, waits for the batch under way, and hands on a last position when it moved. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const end of this.#subscriptions.values()) end();
    this.#subscriptions.clear();
    await this.#runner.stop();
    await this.#draining;
    if (this.#moved) await this.#deliver().catch(() => undefined);
    this.#generations.close();
  }

  status(): EvePathStatus {
    const unread = this.#generations.files.find((file) => file.readTo < file.size || file.done < file.lineEnd);
    return {
      source: this.path,
      opened: this.#generations.current !== null,
      problem: this.#generations.problem,
      lines: this.#reader.lines,
      alerts: this.#reader.alerts,
      old: this.#reader.old,
      lagSeconds: unread ? this.#lagOf(unread) : 0,
      unusable: this.#reader.unusable.toJSON(),
      events: this.#events.toJSON(),
    };
  }

  #lagOf(file: OpenFile): number {
    const stamp = /"timestamp"\s*:\s*"([^"]{1,40})"/.exec(file.peek(200))?.[1];
    const since = Math.max(this.#caughtUpAt, parseTimestamp(stamp) ?? 0);
    return Math.max(0, (this.#options.clock.now() - since) / 1000);
  }

  #isQuiet(): boolean {
    return this.#options.clock.monotonic() - this.#grewAt > QUIET_MS;
  }

  async #turn(): Promise<void> {
    if (this.#bookmark) {
      await this.#generations.resume(this.#bookmark, () => this.#stopping);
      this.#bookmark = null;
    }
    if (this.#stopping) return;
    const before = this.#generations.current;
    this.#generations.look(this.#draining !== null);
    if (this.#generations.current !== before) {
      this.#subscribe();
      // The place in a new file is handed on at once, also while nothing was read of it: killed now, and rotated away
      // before the next start, it could not be found again without.
      this.#moved = true;
      this.#handedOnAt = Number.NEGATIVE_INFINITY;
    }
    if (this.#draining) {
      this.#again = true;
      return;
    }
    const draining = this.#drain().catch((error) => this.#failed(error));
    this.#draining = draining;
    draining.finally(() => {
      this.#draining = null;
      if (this.#again) this.#runner.wake();
      this.#again = false;
    });
  }

  /** Reads everything there is. Does not give up the event loop before there is a reason to. */
  async #drain(): Promise<void> {
    const { clock, maxAlertsPerBatch } = this.#options;
    const { files } = this.#generations;
    let sliceStart = clock.monotonic();
    // By index: a truncation inserts the next generation just behind the file at hand.
    for (let i = 0; i < files.length; i++) {
      const file = files[i] as OpenFile;
      for (let more = true; more; ) {
        more = this.#fill(file);
        while (file.done < file.lineEnd) {
          this.#scan(file);
          if (this.#pending.length < maxAlertsPerBatch) continue;
          await this.#deliver();
          if (this.#stopping) return;
        }
        const now = clock.monotonic();
        if (now - sliceStart <= SLICE_MS) continue;
        if (this.#pending.length > 0 && now - this.#pendingSince > GATHER_MS) await this.#deliver();
        else await new Promise(setImmediate);
        if (this.#stopping) return;
        sliceStart = clock.monotonic();
      }
      if (this.#isQuiet()) file.rest();
    }
    for (const file of this.#generations.finished(this.#options.graceMs)) this.#finish(file);
    const due = this.#moved && clock.monotonic() - this.#handedOnAt >= POSITION_MS;
    if (this.#pending.length > 0 || due) await this.#deliver();
    if (files.every((file) => file.readTo >= file.size)) this.#caughtUpAt = clock.now();
  }

  /** Reads a chunk. Whether there may be more. */
  #fill(file: OpenFile): boolean {
    const before = file.readTo;
    const outcome = file.fill();
    if (file.readTo > before) {
      file.grownAt = this.#options.clock.monotonic();
      this.#grewAt = file.grownAt;
    }
    if (outcome === 'changed') this.#generations.truncated(file);
    if (outcome === 'oversize') {
      this.#reader.passedOver();
      this.#onEvent('oversize', `a line longer than ${this.#options.longestLine} bytes is skipped`);
    }
    return outcome !== 'end';
  }

  /** Reads complete lines of the buffer, up to a full batch. */
  #scan(file: OpenFile): void {
    const pending = this.#pending;
    const before = pending.length;
    const upTo = this.#reader.read(
      file.buffer,
      file.done,
      file.lineEnd,
      pending,
      before + Math.max(1, this.#options.maxAlertsPerBatch - before),
    );
    file.consume(upTo);
    this.#moved = true;
    if (pending.length === before) return;
    if (file.ignoreBefore > Number.NEGATIVE_INFINITY) this.#leaveOutOld(file, before);
    if (before === 0) this.#pendingSince = this.#options.clock.monotonic();
  }

  /** Of a file read for the first time: drops alerts until the first that is young enough. */
  #leaveOutOld(file: OpenFile, from: number): void {
    const first = this.#pending.findIndex((alert, i) => i >= from && alert.at >= file.ignoreBefore);
    const dropped = (first < 0 ? this.#pending.length : first) - from;
    this.#pending.splice(from, dropped);
    this.#reader.old += dropped;
    this.#reader.alerts -= dropped;
    if (first >= 0) file.ignoreBefore = Number.NEGATIVE_INFINITY;
  }

  /** Ends a file that will not grow any more. A last line without a newline is read as it is. */
  #finish(file: OpenFile): void {
    if (file.hasPartialLine) {
      const line = Buffer.concat([file.takePartialLine(), Buffer.from('\n')]);
      this.#reader.read(line, 0, line.length, this.#pending, Number.POSITIVE_INFINITY);
    }
    this.#generations.retire(file);
    this.#moved = true;
  }

  async #deliver(): Promise<void> {
    const batch: EveBatch = {
      source: this.path,
      alerts: this.#pending,
      lines: this.#reader.lines - this.#linesHandedOn,
      position: this.#generations.position(),
    };
    this.#pending = [];
    this.#linesHandedOn = this.#reader.lines;
    this.#moved = false;
    try {
      await this.#options.deliver(batch);
    } catch (error) {
      // Nothing after a batch that was not taken may be handed on: its position would pass over it.
      this.#stopping = true;
      throw error;
    }
    this.#handedOnAt = this.#options.clock.monotonic();
  }

  /** The system refused a read (a disk error, a network file system that went away): lets go of all files and finds them again. */
  #failed(error: unknown): void {
    if (this.#stopping) return;
    this.#generations.lostAll(error);
  }

  #onEvent(event: TailEvent, detail: string): void {
    this.#events.add(event);
    this.#options.onEvent(event, detail);
  }

  #subscribe(): void {
    const { watch } = this.#options;
    if (watch === null) return;
    const wanted = new Set(this.#generations.directories);
    for (const [directory, end] of this.#subscriptions) {
      if (wanted.has(directory)) continue;
      end();
      this.#subscriptions.delete(directory);
    }
    for (const directory of wanted) {
      if (this.#subscriptions.has(directory)) continue;
      const look = (name: string | null) => {
        if (this.#generations.concerns(name)) this.#runner.wake();
      };
      this.#subscriptions.set(directory, watch.subscribe(directory, look));
    }
  }
}
