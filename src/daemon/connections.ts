import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import type { Detection } from '../filter/detection.js';
import { KnownGood, type KnownGoodMemory, newKnownGoodMemory } from '../filter/known-good.js';
import { checksumOf, restoreState, savedState } from '../filter/known-good-state.js';
import { prefix } from '../net/prefix.js';
import { Connection } from '../netlink/conntrack-event.js';
import { conntrackStatus } from '../netlink/conntrack-status.js';
import type { Endpoint, EveAlert } from '../suricata/eve-alert.js';
import { replaceFile } from './atomic-file.js';

const SAVE_EVERY_MS = 5 * 60_000;
const TCP = 'TCP';
/** Settings of the kernel are looked at again after this long. */
const LOOK_EVERY_MS = 10_000;

export interface ConnectionsOptions {
  /** Where the known good clients are kept. */
  readonly file: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly isLiberal?: () => boolean;
}

/**
 * What connection tracking proves, for the policy: whether an alert's connection
 * was completed, and who was a good client within the last day. The packet
 * worker writes both into `memory`; who is known good is kept over restarts in a
 * file, which is of use only whole and is else left aside.
 */
export class Connections implements Service {
  readonly name = 'connections';
  readonly memory: KnownGoodMemory = newKnownGoodMemory(newKey());
  readonly #file: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #runner: BoundedRunner;
  /** Read before `start` took up the file: nothing. */
  #known: KnownGood | null = null;
  readonly #asked = new Connection();
  /** Checksum of what the file holds. */
  #saved: Uint8Array | null = null;

  readonly #isLiberal: () => boolean;
  #looked = Number.NEGATIVE_INFINITY;
  #proves = true;

  /** @param options.isLiberal whether the kernel takes any ACK for the end of a handshake */
  constructor({ file, clock, log, isLiberal = () => conntrackStatus()?.liberal ?? false }: ConnectionsOptions) {
    this.#file = file;
    this.#isLiberal = isLiberal;
    this.#clock = clock;
    this.#log = log;
    const complaints = new RateLimitedLog(log);
    this.#runner = new BoundedRunner({
      task: () => this.#save(),
      clock,
      atLeast: SAVE_EVERY_MS,
      atMost: () => SAVE_EVERY_MS,
      onError: (error) =>
        complaints.warn('save', { file, err: messageOf(error) }, 'the known good clients could not be saved'),
    });
  }

  async start(): Promise<void> {
    await this.#load();
    this.#known = new KnownGood(this.memory, () => this.#clock.now());
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
    await this.#save().catch((error: unknown) =>
      this.#log.warn({ file: this.#file, err: messageOf(error) }, 'the known good clients could not be saved'),
    );
  }

  /** Whether the packet worker reads the events now; while nobody does, nothing is known. */
  get areKnown(): boolean {
    return this.#known?.isListening ?? false;
  }

  /** A worker ended: what its socket held is gone, and nothing comes until the next one. */
  stopped(): void {
    this.#known?.stopped();
  }

  /** For `BanLimits`; `null` while nothing tells. */
  get isKnownGood(): ((text: string) => boolean) | null {
    const known = this.#known;
    if (known === null || !known.isListening) return null;
    return (text) => known.isKnownGood(prefix(text)) === true;
  }

  /** Whether the connection of an alert was completed, whichever end opened it: both ends are then who they say. */
  stateOf({ proto, src, dest }: Pick<EveAlert, 'proto' | 'src' | 'dest'>): 'assured' | 'unknown' {
    if (proto !== TCP || src === null || dest === null || !this.#isProof()) return 'unknown';
    return this.#isAssured(src, dest) || this.#isAssured(dest, src) ? 'assured' : 'unknown';
  }

  /** The detection as it counts here: without its proof where the kernel's settings make it none. */
  counted(detection: Detection): Detection {
    return detection.proof === null || this.#isProof() ? detection : { ...detection, proof: null };
  }

  /** A kernel that does not look at the numbers of an ACK takes a forged one for the client's. */
  #isProof(): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#looked >= LOOK_EVERY_MS) {
      this.#looked = now;
      this.#proves = !this.#isLiberal();
    }
    return this.#proves;
  }

  #isAssured(from: Endpoint, to: Endpoint): boolean {
    if (this.#known === null || from.port === null || to.port === null) return false;
    if (from.host.family !== to.host.family) return false;
    const it = this.#asked;
    it.family = from.host.family;
    it.source0 = from.host.w0;
    it.source1 = from.host.w1;
    it.source2 = from.host.w2;
    it.source3 = from.host.w3;
    it.target0 = to.host.w0;
    it.target1 = to.host.w1;
    it.target2 = to.host.w2;
    it.target3 = to.host.w3;
    it.sourcePort = from.port;
    it.targetPort = to.port;
    return this.#known.isAssured(it) === true;
  }

  async #load(): Promise<void> {
    try {
      const bytes = await readFile(this.#file);
      const problem = restoreState(this.memory, bytes, this.#clock.now());
      if (problem === null) this.#saved = checksumOf(bytes);
      else this.#leaveAside(problem);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#leaveAside(messageOf(error));
    }
  }

  #leaveAside(problem: string): void {
    this.#log.warn({ file: this.#file, problem }, 'who was a good client before the start is not known: unusable file');
  }

  async #save(): Promise<void> {
    const bytes = savedState(this.memory);
    const checksum = checksumOf(bytes);
    if (this.#saved !== null && Buffer.compare(checksum, this.#saved) === 0) return;
    await replaceFile(this.#file, bytes, { mode: 0o600 });
    this.#saved = checksum;
  }
}

function newKey(): [number, number] {
  const bytes = randomBytes(8);
  return [bytes.readInt32LE(0), bytes.readInt32LE(4)];
}
