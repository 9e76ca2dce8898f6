import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock, EpochMs } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import type { AddressWords } from '../net/address.js';
import type { ContactRecord } from '../suricata/eve-contact.js';
import { encodeAlerts, pack, ROWS_PER_BLOCK } from './alert-block.js';
import { AlertBuffer, type AlertRow, type Decided } from './alert-row.js';
import { type ContactRow, contactRow, encodeContacts } from './contact-block.js';
import { ContactTable, type OpenedContact } from './contact-table.js';
import { type HistoryBounds, retain } from './retention.js';
import { HOUR_MS, hourOf } from './segment.js';
import { SegmentWriter } from './segment-writer.js';

/** Rows wait in memory at most this long (ms), which is what a kill costs. */
const ALERTS_MS = 5000;
const CONTACTS_MS = 60_000;
/** Rows that may wait for each of two things, to be taken and to be written: about 30 MB when the disk takes none. */
const ROWS_AT_MOST = 10_000;
const CONTACT_SLOTS = 32_768;
/** Contacts of one hour that are kept, about 30 MB on disk: a scan of a whole network from forged addresses has no end. */
const CONTACTS_PER_HOUR = 1_000_000;
/** Contacts looked at before the event loop gets a turn: about 1 ms of work. */
const CONTACTS_AT_ONCE = 256;
const LARGEST_SEGMENT = 256 << 20;

const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));

export interface RecorderOptions {
  readonly directory: string;
  readonly bounds: HistoryBounds;
  /** Whether an address is ours: home, or this machine. */
  readonly isInside: (words: AddressWords) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RecorderStatus {
  /** Bytes on disk. */
  readonly bytes: number;
  /** Rows written since the start. */
  readonly rows: number;
  /** Alerts, and contact records, given up since the start for want of disk or room. */
  readonly lost: { readonly alerts: number; readonly contacts: number };
  readonly problem: string | null;
}

/**
 * Writes history, beside the program's work: whoever hands something in never
 * waits and never fails. What cannot be written is kept while there is room, then
 * given up and counted.
 */
export class Recorder implements Service {
  readonly name = 'history';
  readonly #o: RecorderOptions;
  readonly #alerts = new AlertBuffer(ROWS_AT_MOST);
  readonly #contacts = new ContactTable(CONTACT_SLOTS);
  readonly #alertSegments: SegmentWriter;
  readonly #contactSegments: SegmentWriter;
  readonly #reserve: number;
  readonly #runner: BoundedRunner;
  readonly #complaints: RateLimitedLog;
  /** Taken and not written yet. */
  #waitingAlerts: AlertRow[] = [];
  #waitingContacts: ContactRow[] = [];
  #turn: Promise<void> = Promise.resolve();
  #contactsAt = Number.NEGATIVE_INFINITY;
  #contactHour = 0;
  #contactsThisHour = 0;
  #retainedHour = Number.NEGATIVE_INFINITY;
  #bytes = 0;
  #rows = 0;
  #lostAlerts = 0;
  #lostContacts = 0;
  /** Given up since the last block that was written. */
  #lostSince = { alerts: 0, contacts: 0 };
  #problem: string | null = null;

  constructor(options: RecorderOptions) {
    this.#o = options;
    const { directory, bounds, clock, log } = options;
    // Whole segments are deleted, so each must be a small part of the room.
    const partBytes = Math.min(LARGEST_SEGMENT, Math.ceil(bounds.atMost / 32));
    this.#reserve = 2 * partBytes;
    this.#alertSegments = new SegmentWriter(directory, 'alerts', partBytes);
    this.#contactSegments = new SegmentWriter(directory, 'contacts', partBytes);
    this.#complaints = new RateLimitedLog(log);
    this.#runner = new BoundedRunner({
      task: () => this.flush(),
      clock,
      atLeast: 50,
      atMost: () => ALERTS_MS,
      onError: (error) => this.#complaints.warn('flush', { err: messageOf(error) }, 'history could not be written'),
    });
  }

  async start(): Promise<void> {
    this.#contactsAt = this.#o.clock.monotonic();
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
    await this.flush(true).catch(() => undefined);
    await this.#alertSegments.close().catch(() => undefined);
    await this.#contactSegments.close().catch(() => undefined);
  }

  status(): RecorderStatus {
    return {
      bytes: this.#bytes,
      rows: this.#rows,
      lost: { alerts: this.#lostAlerts, contacts: this.#lostContacts },
      problem: this.#problem,
    };
  }

  /** Takes what was decided. */
  add(decided: Decided): void {
    if (!this.#alerts.add(decided, this.#o.clock.now())) {
      this.#lostAlerts += 1;
      this.#lostSince.alerts += 1;
    }
    if (this.#alerts.size >= 4 * ROWS_PER_BLOCK && this.#problem === null) this.#runner.wake();
  }

  /** Takes one record of who spoke to whom. */
  addContact(record: ContactRecord): void {
    if (this.#contacts.add(record)) return;
    this.#lostContacts += 1;
    this.#lostSince.contacts += 1;
  }

  /**
   * Writes what waits: alerts now, contacts once a minute or when `all` is asked for.
   * @throws the error of the system; what was not written waits on
   */
  flush(all = false): Promise<void> {
    const done = this.#turn.then(() => this.#flush(all));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #flush(all: boolean): Promise<void> {
    const { clock } = this.#o;
    try {
      await this.#writeAlerts();
      if (all || clock.monotonic() - this.#contactsAt >= CONTACTS_MS || this.#contacts.size >= CONTACT_SLOTS / 4) {
        await this.#writeContacts();
        this.#contactsAt = clock.monotonic();
      }
      this.#retain();
      this.#problem = null;
    } catch (error) {
      this.#problem = `history cannot be written to ${this.#o.directory} (${messageOf(error)}): free space on that disk or make it writable; blocking is not affected`;
      throw error;
    }
  }

  async #writeAlerts(): Promise<void> {
    if (this.#waitingAlerts.length === 0) this.#waitingAlerts = this.#alerts.take();
    while (this.#waitingAlerts.length > 0) {
      const rows = this.#waitingAlerts.slice(0, ROWS_PER_BLOCK);
      const { parts, ...encoded } = encodeAlerts(rows);
      const bodies = await Promise.all(parts.map(pack));
      const lost = this.#lostSince.alerts;
      const written = this.#o.clock.now();
      const block = { ...encoded, written, rows: rows.length, lost, bodies };
      this.#bytes += await this.#alertSegments.append(this.#hourFor(encoded.to), block);
      this.#lostSince.alerts -= lost;
      this.#rows += rows.length;
      this.#waitingAlerts.splice(0, rows.length);
      if (this.#waitingAlerts.length === 0 && this.#alerts.size >= ROWS_PER_BLOCK) {
        this.#waitingAlerts = this.#alerts.take();
      }
    }
  }

  async #writeContacts(): Promise<void> {
    const { clock, isInside, bounds } = this.#o;
    if (this.#waitingContacts.length === 0) {
      const hour = hourOf(clock.now());
      if (hour !== this.#contactHour) {
        this.#contactHour = hour;
        this.#contactsThisHour = 0;
      }
      const contacts = this.#contacts.take();
      for (let i = 0; i < contacts.length; i++) {
        if (i % CONTACTS_AT_ONCE === CONTACTS_AT_ONCE - 1) await breathe();
        const contact = contacts[i] as OpenedContact;
        const row = contactRow({ ...contact, hour: Math.min(contact.hour, hour) }, isInside);
        if (row === null || row.hour + HOUR_MS < clock.now() - bounds.keep * 1000) continue;
        if (this.#contactsThisHour >= CONTACTS_PER_HOUR) {
          this.#lostContacts += row.flows + row.replies;
          this.#lostSince.contacts += row.flows + row.replies;
          continue;
        }
        this.#contactsThisHour += 1;
        this.#waitingContacts.push(row);
      }
    }
    while (this.#waitingContacts.length > 0) {
      const rows = this.#waitingContacts.slice(0, ROWS_PER_BLOCK);
      const { body, ...encoded } = encodeContacts(rows);
      const bodies = [await pack(body)];
      const lost = this.#lostSince.contacts;
      const written = clock.now();
      const block = { ...encoded, written, rows: rows.length, lost, bodies };
      this.#bytes += await this.#contactSegments.append(this.#hourFor(rows[0]?.hour ?? 0), block);
      this.#lostSince.contacts -= lost;
      this.#rows += rows.length;
      this.#waitingContacts.splice(0, rows.length);
    }
  }

  /** Rows never stand in a segment of an hour before theirs, also when the clock was set back meanwhile. */
  #hourFor(to: EpochMs): EpochMs {
    return Math.max(hourOf(this.#o.clock.now()), hourOf(to));
  }

  #retain(): void {
    const { directory, bounds, clock } = this.#o;
    const hour = Math.floor(clock.monotonic() / HOUR_MS);
    const room = bounds.atMost - this.#reserve;
    if (hour === this.#retainedHour && this.#bytes <= room) return;
    this.#bytes = retain(directory, { ...bounds, atMost: room }, clock.now());
    this.#retainedHour = hour;
  }
}
