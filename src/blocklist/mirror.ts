/**
 * blocklist: Redis as the list of what is banned. `store` writes (one atomic
 * step per batch), `mirror` holds in memory what is wanted now and tells the
 * reconciler where to look, `raw-edits` journals what people did with redis-cli,
 * `offline-journal` keeps new bans while Redis is away. Nothing here knows of
 * netfilter.
 *
 * The mirror is level-triggered: an event (`tracking`) only names keys, whose
 * state is then read; a periodic walk over all keys finds what events missed.
 * All reads go through one connection, whose replies keep their order, so that
 * a key touched while a walk runs is read after the walk's page and wins.
 */
import { BoundedRunner } from '../base/bounded-runner.js';
import type { EpochMs } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Desired } from '../enforcement/desired.js';
import type { ListName } from '../enforcement/set-backend.js';
import type { Refusal } from '../protection/admits.js';
import { DirtyKeys } from './dirty-keys.js';
import { blocklistError } from './errors.js';
import { Facts } from './facts.js';
import { FullWalk, READ_AT_MOST } from './full-walk.js';
import { Intake, type Outcome, outcome } from './intake.js';
import { type EntryId, LETTER } from './keys.js';
import { Level } from './level.js';
import type { MirrorOptions } from './mirror-options.js';
import type { EffectiveMode } from './mode.js';
import { ModeMemory } from './mode-memory.js';
import { ModeWatch } from './mode-watch.js';
import { Refusals } from './refusals.js';
import type { StoredEntry } from './store.js';
import { Tracking } from './tracking.js';

/** A key that goes this soon after a loss is held is part of it, in ms. */
const LOSS_GOES_ON = 10_000;

export class Mirror implements Service, Desired {
  readonly name = 'blocklist mirror';
  readonly facts: Facts;
  readonly refusals: Refusals;
  readonly level: Level;
  readonly #o: MirrorOptions;
  readonly #intake: Intake;
  readonly #modes: ModeWatch;
  readonly #tracking: Tracking;
  readonly #walker: BoundedRunner;
  readonly #fullWalk: FullWalk;
  readonly #dirty = new DirtyKeys();
  readonly #dirtyFacts = new Set<string>();
  #draining: Promise<void> | null = null;
  #drainAsked = false;
  #complete = false;
  #walkCost = 0;
  #walkFailed = false;
  #walks = 0;
  /** The server told that a database was emptied, and no walk has judged that yet. */
  #flushed = false;

  constructor(options: MirrorOptions) {
    this.#o = options;
    const { connection, keys, clock, log } = options;
    this.level = new Level(clock);
    this.facts = new Facts(connection, keys, clock, log, new ModeMemory(options.modeFile ?? null, log));
    this.#modes = new ModeWatch(options, this.facts);
    this.refusals = new Refusals(connection, keys, log);
    this.#intake = new Intake({
      level: this.level,
      refusals: this.refusals,
      clock,
      log,
      // Bans of a walk that is not over are nobody's wish yet: the allow entry of one may lie on its next page.
      onChange: (changed) => {
        if (this.#complete || changed === 'all' || changed.list === 'allow') options.onChange(changed);
      },
      onHeld: (held) => {
        if (held > 0) this.facts.modes.held(clock.now());
        this.#modes.note();
        options.onHeld?.(held);
      },
      edits: options.edits,
    });
    this.#fullWalk = new FullWalk({
      ...options,
      level: this.level,
      facts: this.facts,
      refusals: this.refusals,
      intake: this.#intake,
      dirty: this.#dirty,
      drain: () => this.#drain(),
      read: (ids, out) => this.#read(ids, out),
    });
    this.#tracking = new Tracking({
      connection,
      url: options.url,
      keys,
      clock,
      log,
      onKeys: (names) => this.#heard(names),
      onGap: (flushed) => {
        if (flushed) this.#flushed = true;
        this.#walker.wake();
      },
      onTick: () => this.#modes.note(),
    });
    this.#walker = new BoundedRunner({
      task: () => this.#walk(),
      clock,
      atLeast: 0,
      // All walks together take at most 0.2 % of the time, and more only while nothing else tells of changes.
      atMost: () => {
        if (this.#walkFailed) return 1000;
        // The first walk passed over keys that are no strings.
        if (this.#walks === 1) return 5000;
        const period = this.#tracking.armed
          ? Math.max(10_000, this.#walkCost * 500)
          : Math.max(2000, this.#walkCost * 20);
        return period * (0.9 + 0.2 * Math.random());
      },
      onError: (error) => {
        if (!this.#walkFailed && connection.up) log.warn({ err: messageOf(error) }, 'the blocklist could not be read');
        this.#walkFailed = true;
      },
    });
  }

  /**
   * True once Redis was read completely and, if what the kernel held then was
   * mostly missing there, that loss is held. While it is false nothing may be
   * removed from the kernel. It stays true when Redis goes away: what is known
   * then still holds, and ends by its own time.
   */
  get complete(): boolean {
    return this.#complete;
  }

  /** Before the first walk is over no ban of Redis is wanted, only those of the offline journal. */
  get(list: ListName, text: string): EpochMs | undefined {
    return this.#complete || list === 'allow' ? this.level.get(list, text) : this.level.offline(text);
  }

  entries(list: ListName): Iterable<readonly [text: string, until: EpochMs]> {
    return this.#complete || list === 'allow' ? this.level.entries(list) : this.level.offlineEntries();
  }

  get mode(): EffectiveMode {
    return this.#modes.mode;
  }

  status(): {
    readonly up: boolean;
    readonly tracking: boolean;
    readonly problem: string | null;
    readonly entries: number;
    readonly allowed: number;
    readonly held: number;
    readonly refused: number;
    readonly walks: number;
    readonly walkMilliseconds: number;
    readonly clockSkew: number;
  } {
    const { level } = this;
    return {
      up: this.#o.connection.up,
      tracking: this.#tracking.armed,
      problem: this.#o.connection.problem?.message ?? this.#tracking.problem,
      entries: level.sizeOf('ban'),
      allowed: level.sizeOf('allow'),
      held: level.heldCount,
      refused: this.refusals.size,
      walks: this.#walks,
      walkMilliseconds: this.#walkCost,
      clockSkew: this.#intake.skew,
    };
  }

  /** Redis time minus our time in ms, to be added to every absolute end that is written. */
  get skew(): number {
    return this.#intake.skew;
  }

  async start(): Promise<void> {
    await this.#modes.load();
    await this.#tracking.start();
    this.#walker.start();
  }

  async stop(): Promise<void> {
    await this.#tracking.stop();
    await this.#walker.stop();
    await this.#draining?.catch(() => {});
    await this.facts.modes.saved();
  }

  /** Number of entries held after a mass loss. */
  held(): number {
    return this.level.heldCount;
  }

  /** Reads these keys now. @throws BlocklistError */
  async refresh(ids: Iterable<EntryId>): Promise<void> {
    for (const id of ids) this.#dirty.add(id);
    await this.#drain();
  }

  /**
   * Takes in keys that the store wrote over this connection: their state is
   * known, and their value is our own, so that nobody need look at it.
   */
  async stored(entries: readonly StoredEntry[]): Promise<void> {
    const out = outcome();
    for (const [id, ends] of entries) this.#intake.see(id, ends, out, false);
    await this.#intake.settle({ ...out, written: [] });
  }

  /** Bans that Redis does not have yet are wanted from now on. */
  addOffline(bans: Iterable<readonly [text: string, until: EpochMs]>): void {
    const texts: string[] = [];
    for (const [text, until] of bans) {
      this.level.setOffline(text, until);
      texts.push(text);
    }
    if (texts.length > 0) this.#o.onChange({ list: 'ban', texts });
  }

  /** They are in Redis now, and read from there. */
  clearOffline(): void {
    const texts = this.level.clearOffline();
    if (texts.length > 0) this.#o.onChange({ list: 'ban', texts });
  }

  /** Asks for a walk as soon as possible. */
  walk(): void {
    this.#walker.wake();
  }

  /** Obeys the loss: held entries leave the kernel, those too that are still being entered. */
  dropHeld(): Promise<void> {
    return this.#intake.dropHeld();
  }

  /**
   * The reconciler's protections kept a wanted ban out, or (`null`) let it in
   * again. Said in Redis for the keys that a person can see there.
   */
  reportRefused(text: string, refusal: Refusal | null): void {
    for (const kind of ['ban', 'local'] as const) {
      for (const suffix of this.level.tables[kind].spellings(text)) {
        if (refusal === null) this.refusals.forget(LETTER[kind] + suffix);
        else this.refusals.refuse(LETTER[kind] + suffix, refusal.cause, refusal.detail);
      }
    }
  }

  #heard(names: readonly string[]): void {
    let modes = false;
    for (const name of names) {
      const about = this.#o.keys.classify(name);
      if (about === null) continue;
      if (about.class === 'entry') this.#dirty.add(about.id);
      else if (about.class === 'pardon') this.#dirtyFacts.add(`p${about.suffix}`);
      else if (about.class === 'suppress') this.#dirtyFacts.add(`s${about.suffix}`);
      else modes = true;
    }
    if (modes) this.#readModes('removed').catch(() => this.#walker.wake());
    this.#drainSoon();
  }

  /** Not at once: what arrived in the same turn, the replies to our own writes before all, goes first. */
  #drainSoon(): void {
    if (this.#drainAsked) return;
    this.#drainAsked = true;
    setImmediate(() => {
      this.#drainAsked = false;
      this.#drain().catch(() => this.#walker.wake());
    });
  }

  async #readModes(missing: 'removed' | 'unclear'): Promise<void> {
    const { level, facts } = this;
    const justHeld = level.heldCount > 0 && this.#o.clock.now() - this.#intake.heldSince < LOSS_GOES_ON;
    await this.#modes.read(this.#flushed || justHeld ? 'emptied' : missing);
    if (level.heldCount > 0 && facts.accepted > this.#intake.heldSince + this.#intake.skew) await this.dropHeld();
  }

  /** Reads what events named, one batch at a time; joins a drain under way. */
  #drain(): Promise<void> {
    this.#draining ??= this.#drainAll().finally(() => {
      this.#draining = null;
    });
    return this.#draining;
  }

  async #drainAll(): Promise<void> {
    while (this.#dirty.size + this.#dirtyFacts.size > 0) {
      if (this.#dirtyFacts.size > 0) {
        const names = [...this.#dirtyFacts];
        this.#dirtyFacts.clear();
        await this.facts.read(names);
      }
      const batch = this.#dirty.take(READ_AT_MOST);
      if (batch.length === 0) continue;
      const out = outcome();
      await this.#read(batch, out);
      await this.#intake.settle(out);
    }
  }

  /** Reads keys by name. What cannot be read stays dirty. */
  async #read(ids: readonly EntryId[], out: Outcome): Promise<void> {
    const { connection, keys } = this.#o;
    try {
      const names = ids.map((id) => keys.entry(id));
      const [, ...ends] = (await connection.script('read-1', [keys.told], names)) as (number | string)[];
      for (let i = 0; i < ids.length; i++) this.#intake.see(ids[i] as EntryId, ends[i] as number | string, out, true);
    } catch (error) {
      for (const id of ids) this.#dirty.add(id);
      throw error;
    }
  }

  async #walk(): Promise<void> {
    const { connection, clock } = this.#o;
    if (!connection.up) throw connection.problem ?? blocklistError('walk', new Error('not connected'));
    const began = clock.monotonic();
    await this.#readModes('unclear');
    this.#flushed = false;
    await this.#fullWalk.run(!this.#complete);
    if (this.level.heldCount === 0) this.facts.modes.walked(clock.now());
    this.#modes.note();
    this.#walkFailed = false;
    this.#walks += 1;
    this.#walkCost = clock.monotonic() - began;
    if (!this.#complete) {
      this.#complete = true;
      this.#o.onChange('all');
      this.#o.edits?.all?.(this.#fullWalk.everyKey());
    }
  }
}
