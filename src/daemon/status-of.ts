import type { EpochMs } from '../base/clock.js';
import type { QueueCounts } from '../enforcement/rules.js';
import type { QueueHealth } from '../filter/packet-queue.js';
import type { LimitState } from '../policy/limits.js';
import type { Parts } from './compose.js';
import type { Alarm, DaemonStatus } from './status.js';

/** Gathers the status from the parts. Runs `iptables-save` for the counters, about 20 ms. */
export async function statusOf(parts: Omit<Parts, 'services'>): Promise<DaemonStatus> {
  const {
    settings,
    mirror,
    kernel,
    reconciler,
    filterPath,
    alertPath,
    decisions,
    limits,
    redis,
    liveFacts,
    facts,
    store,
  } = parts;
  const { config } = settings;
  // Before the workers are asked: a packet that is counted here and judged meanwhile did not pass unfiltered.
  const counted = await kernel.queueCounts().catch(() => ({ unfiltered: 0, limited: 0, queued: 0 }));
  const list = mirror.status();
  const sets = reconciler.status();
  const queue = filterPath.health();
  const eve = alertPath.status();
  const mode = mirror.mode;
  const limit = limits.state;
  const rules = parts.rules.status();
  const base = {
    version: parts.version,
    pid: process.pid,
    host: config.host,
    startedAt: parts.startedAt,
    config: {
      file: config.file,
      version: config.policyVersion,
      problems: settings.problems,
      restartNeeded: settings.restartNeeded,
      inactive: config.inactive,
    },
    mode: mode.mode,
    modeUntil: mode.until === null ? null : new Date(mode.until).toISOString(),
    modeFrom: mode.from,
    redis: { up: list.up, problem: list.problem, cli: parts.redisCli, embedded: redis !== null },
    blocklist: {
      complete: mirror.complete,
      entries: list.entries,
      allowed: list.allowed,
      held: list.held,
      offline: store.waiting,
      givenUp: store.givenUp,
      refused: list.refused,
    },
    kernel: {
      backend: kernel.backend.name,
      entries: sets.entries,
      drift: sets.drift,
      complete: sets.complete,
      rules: kernel.rules.state,
      failures: sets.failures,
      heals: { ...sets.heals, ...kernel.rules.heals.toJSON() },
      droppedPackets: await kernel.droppedPackets().catch(() => 0),
    },
    queue: {
      bound: queue.bound,
      problem: queue.problem,
      packets: queue.packets,
      dropped: queue.queueDropped + queue.userDropped,
      limited: counted.limited,
      unfiltered: counted.unfiltered + passedQueue(counted, queue),
      exceptions: queue.exceptions,
      detections: decisions.detections.toJSON(),
      connections: parts.connections.areKnown ? 'known' : 'unknown',
    },
    rules: { ...rules, readAt: rules.readAt === null ? null : new Date(rules.readAt).toISOString() },
    quarantine: parts.quarantine.status(),
    eve: eve.paths,
    decisions: decisions.counts.toJSON(),
    history: parts.history?.status() ?? null,
    windows: decisions.memory.status(),
    limits: {
      reached: limit.why,
      newBansLastMinute: limit.lastMinute,
      knownGoodShare: config.limits.knownGoodShare === null ? 'off' : limit.knownGoodShare,
    },
    protections: {
      protectedNetworks: facts.size,
      sshPeers: liveFacts.current().sshPeers.length,
      problems: liveFacts.current().problems,
    },
  } satisfies Omit<DaemonStatus, 'ready' | 'problems' | 'alarms'>;
  // A path that exists and cannot be opened keeps it from being ready; one that does not exist yet does not.
  const unopened = base.eve.filter((path) => !path.opened && path.problem !== null);
  const ready =
    base.redis.up &&
    base.kernel.complete &&
    base.kernel.failures.length === 0 &&
    base.kernel.rules === 'in place' &&
    filterPath.settled &&
    parts.heartbeat.problem === null &&
    alertPath.problem === null &&
    unopened.length === 0;
  const alarms = [...settings.alarms, ...parts.floods.alarms, ...limitAlarms(limit, parts.clock.now())];
  return { ...base, ready, alarms, problems: problemsOf(base, parts, eve.problems) };
}

/**
 * Packets that the queue rules matched and no worker judged: nobody was bound to
 * the queue, or the queue was full. What the workers know of that is a part of it.
 */
export function passedQueue(
  { queued }: Pick<QueueCounts, 'queued'>,
  queue: Pick<QueueHealth, 'packets' | 'queueDropped' | 'userDropped' | 'queueLength' | 'unfiltered'>,
): number {
  const seen = queue.packets + queue.queueDropped + queue.userDropped + queue.queueLength;
  return Math.max(queue.unfiltered, queued - seen);
}

function limitAlarms({ why, since }: LimitState, now: EpochMs): Alarm[] {
  if (why === null) return [];
  return [{ name: 'limit_reached', since: new Date(now - since).toISOString(), detail: why }];
}

function problemsOf(
  base: Omit<DaemonStatus, 'ready' | 'problems' | 'alarms'>,
  { kernel, alertPath, heartbeat, settings }: Omit<Parts, 'services'>,
  unmatched: readonly { readonly problem: string }[],
): string[] {
  const problems: (string | null)[] = [
    base.redis.up ? null : `Redis is away: ${base.redis.problem ?? 'not connected'}`,
    base.kernel.rules === 'in place'
      ? null
      : `the rules are ${base.kernel.rules}${kernel.rules.problem ? `: ${kernel.rules.problem}` : ''}`,
    ...base.kernel.failures,
    base.kernel.complete ? null : 'the kernel was not compared completely yet',
    heartbeat.problem,
    base.queue.bound || base.mode === 'off'
      ? null
      : `the packet queue is not bound: ${base.queue.problem ?? 'starting'}`,
    alertPath.problem,
    ...base.eve.filter((path) => path.problem !== null).map((path) => `${path.source}: ${path.problem}`),
    base.blocklist.held === 0
      ? null
      : `${base.blocklist.held} entries went at once and are held: barricata unban --held accepts it, barricata ban --held writes them back`,
    ...unmatched.map(({ problem }) => problem),
    base.quarantine?.waiting ?? null,
    base.rules.problem === null ? null : `${base.rules.path}: ${base.rules.problem}`,
    base.limits.reached,
    base.history?.problem ?? null,
    ...kernel.notes,
    ...base.protections.problems,
    ...settings.problems,
    ...base.config.inactive.map((key) => `${key} is accepted, but this version does not act on it`),
  ];
  return problems.filter((problem) => problem !== null);
}
