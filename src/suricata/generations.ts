import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import { type Bookmark, encodeBookmark, type FileMark, holds } from './bookmark.js';
import { type FileFacts, factsOf, factsOfFd, OpenFile, openForReading, sameFile } from './open-file.js';
import { type Entry, filesAround, findByContent, findUnread, openEntry, realPathOf } from './siblings.js';

/** What happens to a followed file that a person may want to know. */
export type TailEvent = 'rotated' | 'truncated' | 'recovered' | 'oversize' | 'gap' | 'unreadable';

/** Files read to their end that are remembered, so that none is read again under another name. */
const REMEMBERED = 8;
/** A cascade of renames moves names between listing and opening: look again this often, this far apart (ms). */
const RESUME_ATTEMPTS = 6;
const RESUME_PAUSE_MS = 40;

/**
 * The generations of one path that are open: the file that the path names now,
 * last, and before it older ones that may still be written to or hold unread
 * lines. `look` brings them up to date and reads nothing; it is synchronous and
 * may run while reading waits for its consumer, so that files are pinned by
 * their descriptors before a rotation can take them away.
 */
export class Generations {
  readonly path: string;
  readonly #clock: Clock;
  readonly #longestLine: number;
  readonly #onEvent: (event: TailEvent, detail: string) => void;
  readonly #firstOffset: (fd: number) => number;
  readonly #ignoreBefore: () => number;
  readonly files: OpenFile[] = [];
  #current: OpenFile | null = null;
  #past: FileMark[] = [];
  #since: number | null = null;
  #real: string;
  /** Why the path cannot be read although it is there; `null` when it can, or is missing. */
  problem: string | null = null;

  /**
   * @param firstOffset for a file that was never read: how much of it was, under another path's name
   * @param ignoreBefore for such a file: alerts before this moment are left out until a later one
   */
  constructor(options: {
    path: string;
    clock: Clock;
    longestLine: number;
    onEvent: (event: TailEvent, detail: string) => void;
    firstOffset: (fd: number) => number;
    ignoreBefore: () => number;
  }) {
    this.path = options.path;
    this.#clock = options.clock;
    this.#longestLine = options.longestLine;
    this.#onEvent = options.onEvent;
    this.#firstOffset = options.firstOffset;
    this.#ignoreBefore = options.ignoreBefore;
    this.#real = realPathOf(options.path);
  }

  /** The file that the path names, when it is open. */
  get current(): OpenFile | null {
    return this.#current;
  }

  /** Directories where something about this path may happen. */
  get directories(): string[] {
    return [...new Set([dirname(this.path), dirname(this.#real)])];
  }

  /** Whether a change to this name in one of the directories concerns the path. */
  concerns(name: string | null): boolean {
    return name === null || name.startsWith(basename(this.path)) || name.startsWith(basename(this.#real));
  }

  marks(): FileMark[] {
    return [...this.#past, ...this.files.map((file) => file.mark())];
  }

  /** Text that leads back to exactly what has been handed on up to now. */
  position(): string {
    const files = this.files.map((file) => file.mark());
    return encodeBookmark({ path: this.path, since: this.#since ?? 0, files, past: this.#past });
  }

  /** Opens what a bookmark names, wherever it lies now. What cannot be found is a `gap`. */
  async resume(bookmark: Bookmark, stopped: () => boolean): Promise<void> {
    this.#since = bookmark.since;
    this.#past = [...bookmark.past].slice(-REMEMBERED);
    const found = new Map<FileMark, OpenFile>();
    for (let attempt = 1; attempt <= RESUME_ATTEMPTS && !stopped(); attempt++) {
      const entries = filesAround(this.path, this.#real);
      for (const mark of bookmark.files) {
        if (found.has(mark)) continue;
        const file = this.#reopen(mark, entries, [...found.values()], attempt > 2);
        if (file) found.set(mark, file);
      }
      if (found.size === bookmark.files.length) break;
      await new Promise<void>((resolve) => this.#clock.after(RESUME_PAUSE_MS, resolve));
    }
    for (const mark of bookmark.files) {
      const file = found.get(mark);
      if (file) this.files.push(file);
      else this.#gap(mark);
    }
    for (const [mark, file] of found) if (mark.offset === 0) this.#resumeAtBeginning(file);
  }

  /** Nothing was read of this file, so that its content cannot tell whether it was truncated: a copy may hold what it had. */
  #resumeAtBeginning(file: OpenFile): void {
    const ids = this.files.map((open) => open.id);
    const unread = this.#openUnread(filesAround(this.path, this.#real), ids, [file.beginning()]);
    this.files.splice(this.files.indexOf(file), 0, ...unread);
  }

  /**
   * Looks at the held files and at the path; opens what is new.
   *
   * @param readingWaits when nothing is going to be read now: truncations must be found here
   */
  look(readingWaits: boolean): void {
    let facts: FileFacts | null = null;
    let failure: unknown = null;
    try {
      const st = statSync(this.path, { bigint: true, throwIfNoEntry: false });
      facts = st ? factsOf(st) : null;
    } catch (error) {
      failure = error;
    }
    for (const file of [...this.files]) {
      // What the path says of the current file need not be asked again.
      const known = facts !== null && file === this.#current && sameFile(file.id, facts) ? facts : file.facts();
      if (known) this.#check(file, known, readingWaits);
    }
    if (failure !== null) {
      this.#unreadable(failure);
      return;
    }
    if (facts === null) {
      this.problem = null;
      return;
    }
    if (!facts.regular) {
      this.#unreadable(new Error('not a regular file'));
      return;
    }
    if (this.#current === null || !sameFile(this.#current.id, facts)) this.#turnTo(facts);
    else this.problem = null;
    if (this.#current && sameFile(this.#current.id, facts)) this.#since = facts.mtime;
  }

  /** The content of this file was replaced: reads the rest from the copy that was made, if one was, and begins anew. */
  truncated(file: OpenFile): void {
    const now = this.#clock.monotonic();
    const mark = file.mark();
    const held = this.files.map((open) => open.id);
    const entries = filesAround(this.path, this.#real);
    const copy = mark.offset > 0 ? findByContent(entries, mark, held) : null;
    const rest = copy ? copy.facts.size - file.readTo : 0;
    const next = file.succeed(copy, now);
    const detail = copy
      ? `its copy holds ${Math.max(0, rest)} bytes that were not read yet`
      : 'no copy of it was found';
    this.#onEvent('truncated', detail);
    if (rest > 0) this.#onEvent('recovered', `${rest} bytes are read from the copy`);
    const unread = this.#since === null ? [] : this.#openUnread(entries, [...held, file.id]);
    this.files.splice(this.files.indexOf(file) + 1, 0, ...unread, next);
    if (this.#current === file) this.#current = next;
  }

  /** Files that are not the current one, are read to the end and did not grow for `graceMs`. */
  finished(graceMs: number): OpenFile[] {
    const now = this.#clock.monotonic();
    return this.files.filter((file) => {
      if (file.readTo < file.size || file.done < file.lineEnd) return false;
      if (file.ended) return true;
      if (file === this.#current && file.links > 0) return false;
      return now - file.grownAt > graceMs;
    });
  }

  /** Closes a file and remembers how far it was read. */
  retire(file: OpenFile): void {
    const at = this.files.indexOf(file);
    if (at < 0) return;
    if (file.offset > 0) this.#past = [...this.#past, file.mark()].slice(-REMEMBERED);
    this.files.splice(at, 1);
    if (this.#current === file) this.#current = null;
    file.close();
  }

  /** After a failed read: closes all, to be found again by content where reading had come to. */
  lostAll(error: unknown): void {
    this.#unreadable(error);
    for (const file of [...this.files]) this.retire(file);
  }

  close(): void {
    for (const file of this.files) file.close();
    this.files.length = 0;
    this.#current = null;
  }

  #check(file: OpenFile, facts: FileFacts, readingWaits: boolean): void {
    file.links = facts.links;
    const changed = facts.mtimeNs !== file.mtimeNs || facts.size !== file.size;
    const verify = changed && (facts.size === file.readTo || readingWaits || file.readTo === 0);
    // Empty again, or still, and touched since: what was written in between, and never read, may be in a copy.
    const emptied = changed && facts.size === 0 && file.readTo === 0 && file.mtimeNs >= 0n;
    if (facts.size < file.readTo || emptied || (verify && !file.unchanged())) {
      this.truncated(file);
      return;
    }
    if (changed) file.lookAhead();
    if (facts.size > file.size) file.grownAt = this.#clock.monotonic();
    file.size = facts.size;
    file.mtimeNs = facts.mtimeNs;
  }

  /** The path names another file than before: opens it, and whatever came and went in between. */
  #turnTo(facts: FileFacts): void {
    const held = this.files.find((file) => sameFile(file.id, facts) && !file.ended);
    if (held) {
      this.files.push(...this.files.splice(this.files.indexOf(held), 1));
      this.#current = held;
      this.problem = null;
      return;
    }
    let fd: number;
    let opened: FileFacts;
    try {
      fd = openForReading(this.path);
      opened = factsOfFd(fd);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#unreadable(error);
      return;
    }
    this.problem = null;
    if (this.files.length > 0) this.#onEvent('rotated', 'the path names a new file');
    if (this.#since !== null) {
      const ids = [...this.files.map((file) => file.id), opened];
      this.files.push(...this.#openUnread(filesAround(this.path, this.#real), ids));
    }
    const before = this.#past.findLast((mark) => opened.size >= mark.offset && holds(fd, mark));
    const offset = before?.offset ?? this.#firstOffset(fd);
    const file = new OpenFile(fd, opened, offset, this.#longestLine, this.#clock.monotonic());
    if (this.#since === null) file.ignoreBefore = this.#ignoreBefore();
    file.size = opened.size;
    file.mtimeNs = opened.mtimeNs;
    file.lookAhead();
    this.files.push(file);
    this.#current = file;
    this.#since ??= opened.mtime;
    this.#real = realPathOf(this.path);
  }

  /** @param known further beginnings that are not to be read */
  #openUnread(
    entries: readonly Entry[],
    held: readonly { dev: string; ino: string }[],
    known: readonly FileMark[] = [],
  ): OpenFile[] {
    const now = this.#clock.monotonic();
    const marks = [...this.marks(), ...known];
    return findUnread(entries, this.#since ?? Number.POSITIVE_INFINITY, held, marks).map(({ fd, facts }) => {
      this.#onEvent('recovered', `a file that was rotated away unseen is read: ${facts.size} bytes`);
      const file = new OpenFile(fd, facts, 0, this.#longestLine, now);
      file.size = facts.size;
      return file;
    });
  }

  /** Finds one saved file: the same inode with the same content, else (at once when the inode's content changed) a copy. */
  #reopen(mark: FileMark, entries: readonly Entry[], taken: readonly OpenFile[], anyCopy: boolean): OpenFile | null {
    const now = this.#clock.monotonic();
    const same = entries.find((entry) => sameFile(entry, mark));
    let replaced = false;
    if (same) {
      const opened = openEntry(same);
      if (opened) {
        const intact = opened.facts.size >= mark.offset && (mark.offset === 0 || holds(opened.fd, mark));
        const file = new OpenFile(opened.fd, opened.facts, intact ? mark.offset : 0, this.#longestLine, now);
        if (intact) {
          file.size = opened.facts.size;
          file.mtimeNs = opened.facts.mtimeNs;
          file.lookAhead();
          return file;
        }
        file.close();
        replaced = true;
      }
    }
    if (mark.offset === 0 || !(replaced || anyCopy)) return null;
    const except = taken.map((file) => file.id);
    const copy = findByContent(entries, mark, except);
    if (copy === null) return null;
    const file = new OpenFile(copy.fd, copy.facts, mark.offset, this.#longestLine, now);
    file.size = copy.facts.size;
    return file;
  }

  #gap(mark: FileMark): void {
    const compressed = filesAround(this.path, this.#real).some((entry) => entry.rotated && entry.compressed);
    const why = compressed
      ? 'rotation compressed it; add "delaycompress" to the logrotate configuration'
      : 'it was deleted or truncated without a copy';
    this.#onEvent('gap', `lines after byte ${mark.offset} of the file read last may be lost: ${why}`);
  }

  #unreadable(error: unknown): void {
    const code = (error as NodeJS.ErrnoException).code;
    const fix =
      code === 'EACCES' || code === 'EPERM'
        ? '; let this user read it, for example with "chgrp" and "chmod g+r", and set "filemode" in suricata.yaml'
        : '';
    const problem = `cannot read ${this.path}: ${messageOf(error)}${fix}`;
    if (this.problem !== problem) this.#onEvent('unreadable', problem);
    this.problem = problem;
  }
}
