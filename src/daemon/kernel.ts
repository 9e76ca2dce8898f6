import { type Clock, systemClock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import type { Config, FilterConfig } from '../config/config.js';
import { Commands } from '../enforcement/command.js';
import { IpsetBackend } from '../enforcement/ipset-backend.js';
import { IpsetRestoreBackend } from '../enforcement/ipset-restore.js';
import { type QueueCounts, Rules } from '../enforcement/rules.js';
import { RulesGuard } from '../enforcement/rules-guard.js';
import { RulesWatch } from '../enforcement/rules-watch.js';
import type { Gate, KernelElement, SetBackend } from '../enforcement/set-backend.js';
import { maxelemFor } from '../enforcement/sets.js';
import { sharedNumber } from '../filter/shared-state.js';
import type { Prefix } from '../net/prefix.js';
import { IpsetClient } from '../netlink/ipset.js';
import { libc } from '../netlink/libc.js';
import { noLimits, notAlive } from '../netlink/limits.js';

/** Conversations of before are known to connection tracking after so long. */
const SETTLES_MS = 2 * 60_000;

export interface KernelOptions {
  readonly config: Config;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly log: Log;
}

/** Whether the foreign function interface works, and why not. */
function netlinkProblem(): string | null {
  try {
    libc();
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * What Barricata has in the kernel: the sets, and the static rules that use
 * them, kept in place. Stopping leaves both, or removes both, as `on_stop` says.
 */
export class Kernel implements Service {
  readonly name = 'kernel';
  readonly backend: SetBackend;
  readonly rules: RulesGuard;
  /** Why the packet filter cannot run at all; `null` when it can. */
  readonly noFilter: string | null;
  readonly #rules: Rules;
  readonly #watch = new RulesWatch();
  readonly #commands = new Commands();
  #isLegacy = false;
  /** From when on stray ACKs count, see `Pipeline.settle`. */
  readonly settledAt = sharedNumber(Number.POSITIVE_INFINITY);
  /** 1 while a packet that is accepted with REJECT_MARK is refused with an answer; else it would pass. */
  readonly rejects = sharedNumber(0);
  readonly #o: KernelOptions;
  #notes: readonly string[] = [];
  #filter: FilterConfig;

  constructor(options: KernelOptions) {
    const { config, gate, clock, log } = options;
    this.#o = options;
    this.noFilter = netlinkProblem();
    const commands = this.#commands;
    const maxelem = maxelemFor(config.limits.totalBans);
    this.backend =
      this.noFilter === null
        ? new IpsetBackend({ gate, clock, maxelem })
        : new IpsetRestoreBackend({ gate, clock, maxelem, commands });
    this.#filter = config.filter;
    this.#rules = rulesOf(config, commands, this.noFilter === null, () => this.#filter);
    this.rules = new RulesGuard({
      install: () => this.#install(),
      verify: () => this.#rules.verify(),
      token: () => (this.noFilter === null ? this.#watch.token() : null),
      // A legacy rule that moved shows in no token.
      readEvery: () => (this.#isLegacy ? 4000 : 30_000),
      clock,
      log,
    });
  }

  /** What is not as configured, one sentence each. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  /**
   * What was made before a failure is kept or removed by `stop`.
   * @throws EnforcementError when sets or rules cannot be made, with what repairs that
   */
  async start(): Promise<void> {
    if (this.noFilter !== null) {
      this.#o.log.error(
        { err: this.noFilter },
        'no netlink: the sets go through the ipset command, and the packet filter stays off',
      );
    }
    await this.backend.open();
    this.#isLegacy = await this.#findsLegacy();
    await this.rules.start();
    // What was counted before this process is no news.
    await this.queueCounts();
  }

  /** Takes up other detectors and packet rules: the rules are made for them soon. */
  reconfigured({ filter }: Pick<Config, 'filter'>): void {
    this.#filter = filter;
    this.rules.reconfigured();
  }

  async stop(): Promise<void> {
    await this.rules.stop();
    this.#watch.close();
    try {
      if (this.#o.config.enforcement.onStop === 'remove') {
        // Sets that no rule uses can go also when the rules cannot be looked at.
        const failure = await this.#rules.remove().then(
          () => null,
          (error: unknown) => error,
        );
        await this.backend.destroy();
        if (failure !== null) throw failure;
      }
    } finally {
      await this.backend.close();
    }
  }

  /** After somebody destroyed the sets: sets first, then the rules that need them. */
  async rebuild(): Promise<void> {
    await this.backend.open();
    await this.#install();
  }

  /** Takes first packets away from the queue, and ends the limits of the kernel, at once. */
  closeQueue(): void {
    this.#tell(notAlive);
  }

  /** Ends the limits of the kernel at once: verdicts do not drop any more. */
  endLimits(): void {
    this.#tell(noLimits);
  }

  #tell(what: (client: IpsetClient) => void): void {
    if (this.noFilter !== null) return;
    const client = IpsetClient.open();
    try {
      what(client);
    } finally {
      client.close();
    }
  }

  /** Packets that the ban rules dropped since the start. */
  async droppedPackets(): Promise<number> {
    const { ipv4, ipv6 } = await this.#rules.dropped();
    return ipv4.packets + ipv6.packets;
  }

  /** What the rules in front of the queue counted since the start. */
  queueCounts(): Promise<QueueCounts> {
    return this.#rules.queueCounts();
  }

  async #findsLegacy(): Promise<boolean> {
    const { iptables } = this.#o.config.enforcement;
    if (iptables !== 'auto') return iptables === 'legacy';
    const { stdout } = await this.#commands.run('iptables', ['--version']);
    return stdout.includes('legacy');
  }

  async #install(): Promise<void> {
    const { notes, rejects } = await this.#rules.install();
    this.rejects[0] = rejects ? 1 : 0;
    // Connection tracking begins with the rules that ask for it.
    this.settledAt[0] = Number(process.hrtime.bigint() / 1_000_000n) + SETTLES_MS;
    for (const note of notes) if (!this.#notes.includes(note)) this.#o.log.warn(note);
    this.#notes = notes;
  }
}

function rulesOf(config: Config, commands: Commands, withQueue: boolean, filter = () => config.filter): Rules {
  const { iptables, outbound } = config.enforcement;
  const packets = () => (withQueue ? { queue: config.queue, filter: filter() } : null);
  return new Rules({ commands, variant: iptables, outbound, packets });
}

/** What a command reaches of the kernel while no daemon runs. */
async function withoutDaemon<T>(config: Config, use: (rules: Rules, backend: SetBackend) => Promise<T>): Promise<T> {
  const commands = new Commands();
  const withNetlink = netlinkProblem() === null;
  const options = { gate: () => null, clock: systemClock, maxelem: 65_536 };
  const backend = withNetlink ? new IpsetBackend(options) : new IpsetRestoreBackend({ ...options, commands });
  try {
    return await use(rulesOf(config, commands, withNetlink), backend);
  } finally {
    await backend.close();
  }
}

/**
 * Removes every rule, then every set, without a daemon.
 * @throws EnforcementError
 */
export async function removeFromKernel(config: Config): Promise<void> {
  await withoutDaemon(config, async (rules, backend) => {
    await rules.remove();
    await backend.destroy();
  });
}

/** What the kernel holds of one prefix. */
export interface Held {
  readonly banned: KernelElement | null;
  readonly allowed: boolean;
  /** Whether rules look at the sets. */
  readonly rules: 'in place' | 'missing';
}

/**
 * Looks at sets and rules without a daemon; changes nothing.
 * @throws EnforcementError
 */
export async function lookInKernel(config: Config, prefix: Prefix): Promise<Held> {
  return withoutDaemon(config, async (rules, backend) => {
    const verified = await rules.verify('raw');
    if (verified !== 'ok') return { banned: null, allowed: false, rules: 'missing' };
    const banned = await backend.find('ban', prefix);
    return { banned, allowed: (await backend.find('allow', prefix)) !== null, rules: 'in place' };
  });
}
