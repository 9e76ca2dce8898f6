import { type FSWatcher, statSync, watch } from 'node:fs';
import { messageOf } from '../base/errors.js';

interface Watched {
  readonly listeners: Set<(name: string | null) => void>;
  watcher: FSWatcher | null;
  /** The inode that is watched: a directory may be deleted and made again. */
  ino: bigint;
}

/**
 * inotify on directories, one watch each however many files are followed
 * there. Events only say "look": some file systems send none and a queue may
 * overflow, so whoever listens polls as well.
 */
export class DirectoryWatch {
  readonly #watched = new Map<string, Watched>();
  readonly #onProblem: (directory: string, message: string) => void;

  /** @param onProblem told when a directory that exists cannot be watched */
  constructor(onProblem: (directory: string, message: string) => void) {
    this.#onProblem = onProblem;
  }

  /** Calls `listener` with the name of what changed in the directory, or `null` when unknown. Returns how to end it. */
  subscribe(directory: string, listener: (name: string | null) => void): () => void {
    let entry = this.#watched.get(directory);
    if (!entry) {
      entry = { listeners: new Set(), watcher: null, ino: 0n };
      this.#watched.set(directory, entry);
    }
    entry.listeners.add(listener);
    this.#arm(directory, entry);
    const { listeners } = entry;
    return () => {
      listeners.delete(listener);
      const now = this.#watched.get(directory);
      if (now?.listeners !== listeners || listeners.size > 0) return;
      now.watcher?.close();
      this.#watched.delete(directory);
    };
  }

  /** Arms watches again whose directory appeared or was replaced. Call it now and then. */
  refresh(): void {
    for (const [directory, entry] of this.#watched) this.#arm(directory, entry);
  }

  close(): void {
    for (const entry of this.#watched.values()) entry.watcher?.close();
    this.#watched.clear();
  }

  #arm(directory: string, entry: Watched): void {
    let ino = 0n;
    try {
      ino = statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino ?? 0n;
    } catch {
      // Not reachable now: as if it were missing.
    }
    if (entry.watcher && entry.ino === ino) return;
    entry.watcher?.close();
    entry.watcher = null;
    if (ino === 0n) return;
    try {
      const watcher = watch(directory, { persistent: false }, (_event, name) => {
        for (const listener of entry.listeners) listener(name);
      });
      watcher.on('error', (error) => {
        watcher.close();
        if (entry.watcher === watcher) entry.watcher = null;
        this.#onProblem(directory, messageOf(error));
      });
      entry.watcher = watcher;
      entry.ino = ino;
      // What happened before the watch was armed sends no event.
      for (const listener of entry.listeners) listener(null);
    } catch (error) {
      this.#onProblem(directory, messageOf(error));
    }
  }
}
