/**
 * daemon: puts the parts together and keeps them running. `compose` is the one
 * place that knows everybody; the others are what only a running program needs:
 * the embedded Redis, the control socket, the meeting point of decisions.
 */
import { getHeapStatistics } from 'node:v8';
import { type Clock, systemClock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import { RedisConnection } from '../blocklist/connection.js';
import { Keys } from '../blocklist/keys.js';
import { ManualActs } from '../blocklist/manual.js';
import { Mirror } from '../blocklist/mirror.js';
import { Offences } from '../blocklist/offences.js';
import { OfflineJournal } from '../blocklist/offline-journal.js';
import { QuarantineState } from '../blocklist/quarantine.js';
import { RawEdits } from '../blocklist/raw-edits.js';
import { Store } from '../blocklist/store.js';
import type { Config } from '../config/config.js';
import { Reconciler } from '../enforcement/reconciler.js';
import { PacketQueue } from '../filter/packet-queue.js';
import type { Decided } from '../history/alert-row.js';
import { historyDirectory } from '../history/directory.js';
import { Recorder } from '../history/recorder.js';
import { prefixOf, widthOf } from '../net/prefix.js';
import { isInside } from '../policy/attribution.js';
import { contextOf, type DecisionContext } from '../policy/context.js';
import { BanLimits } from '../policy/limits.js';
import { ruleFacts } from '../policy/rule-facts.js';
import { LiveFacts, redisHostOf } from '../protection/live-facts.js';
import type { ContactRecord } from '../suricata/eve-contact.js';
import { RulesetSource } from '../suricata/ruleset-source.js';
import { AlertPath } from './alert-path.js';
import { Connections } from './connections.js';
import { ControlServer } from './control.js';
import { Decisions } from './decisions.js';
import { EmbeddedRedis, redisCliCommand } from './embedded-redis.js';
import { FilterPath } from './filter-path.js';
import { FloodStates } from './flood-states.js';
import { ProtectedFacts } from './gate.js';
import { fullCollection, HeapRest } from './heap.js';
import { Heartbeat } from './heartbeat.js';
import { Kernel } from './kernel.js';
import { Learning } from './learning.js';
import { RecentDecisions } from './recent-decisions.js';
import { redisUrl } from './redis-url.js';
import { type Asked, routesOf } from './routes.js';
import { RuleQuarantine } from './rule-quarantine.js';
import { Settings } from './settings.js';
import { Wanted } from './wanted.js';

export interface ComposeOptions {
  readonly config: Config;
  readonly version: string;
  readonly log: Log;
  readonly clock?: Clock;
  /** What the control socket may ask of the whole program. */
  readonly asked: Asked;
}

/** The parts of a running Barricata; `services` in the order in which they start. */
export type Parts = ReturnType<typeof compose>;

export function compose({ config: first, version, log, clock = systemClock, asked }: ComposeOptions) {
  const settings = new Settings(first);
  const config = () => settings.config;
  const keys = new Keys(first.redis.prefix, first.host);
  const url = redisUrl(first);

  const isListed = (text: string) => config().neverBan.listed.some(({ prefix }) => prefix.text === text);

  const redis = first.redis.embedded ? new EmbeddedRedis({ run: first.run, state: first.state, clock, log }) : null;
  const connection = new RedisConnection(url);
  const redisHosts = [first.redis.url, ...first.suricata.eve].flatMap((address) => redisHostOf(address) ?? []);
  const liveFacts = new LiveFacts({ clock, log, redisHosts });
  const edits = new RawEdits({ connection, keys, clock, log });

  // Told when the mode keys were read, or when Redis took too long and the last known mode rules.
  let modeTold = false;
  const modeKnown = () => modeTold;
  const mirror = new Mirror({
    connection,
    url,
    keys,
    clock,
    log,
    get fileMode() {
      return config().mode;
    },
    modeFile: `${first.state}/mode.json`,
    edits,
    // Listed networks are in the allow sets and never in Redis.
    kernelAtStart: () => [...reconciler.held()].filter(([list, text]) => list === 'ban' || !isListed(text)),
    onChange: (changed) => {
      if (changed === 'all') facts.allowChanged('all');
      else if (changed.list === 'allow') facts.allowChanged([...changed.texts]);
      reconciler.changed(changed);
    },
    onHeld: (held) => {
      if (held > 0)
        log.error(
          { held },
          'a mass loss of keys is held: accept it by `barricata unban --held`, undo it by `barricata ban --held`',
        );
    },
    onMode: ({ mode }) => {
      modeTold = true;
      log.info({ mode }, `mode ${mode}`);
      if (mode === 'enforce') limits.reset();
      filterPath.follow(mode);
      reconciler.changed('all');
    },
  });
  const facts = new ProtectedFacts({
    config,
    live: () => liveFacts.current().addresses,
    allowed: { entries: () => mirror.entries('allow'), get: (text) => mirror.get('allow', text) },
    onChange: (texts) => (texts === 'all' ? reconciler.judgeAll() : reconciler.changed({ list: 'ban', texts })),
    clock,
    log,
  });
  liveFacts.onChange(() => facts.liveChanged());
  const wanted = new Wanted(
    mirror,
    () => mirror.mode.mode,
    () => config().neverBan.listed,
  );
  const kernel = new Kernel({ config: first, gate: (prefix) => facts.refuse(prefix), clock, log });
  const reconciler = new Reconciler({
    backend: kernel.backend,
    desired: wanted,
    gate: (prefix) => facts.refuse(prefix),
    clock,
    log,
    rebuild: () => kernel.rebuild(),
    onRefused: (text, refusal) => mirror.reportRefused(text, refusal),
  });

  const recent = new RecentDecisions();
  const offline = new OfflineJournal(`${first.state}/offline.journal`);
  const store = new Store({ connection, keys, mirror, offline, clock, log });
  const offences = new Offences({ connection, keys, skew: () => mirror.skew, log });
  const isBanned = (text: string) => mirror.get('ban', text) !== undefined;
  const connections = new Connections({ file: `${first.state}/known-good`, clock, log });
  const limits = new BanLimits({
    get newBansPerMinute() {
      return config().limits.newBansPerMinute;
    },
    totalBans: first.limits.totalBans,
    get knownGoodShare() {
      return config().limits.knownGoodShare;
    },
    get whenReached() {
      return config().limits.whenReached;
    },
    clock,
    isBanned,
    total: () => mirror.status().entries,
    get isKnownGood() {
      return connections.isKnownGood;
    },
    onReached: (limit, why) => log.error({ alarm: 'limit_reached', limit }, why),
  });
  const rules = new RulesetSource({
    path: first.suricata.rules,
    clock,
    log,
    onRead: () => quarantine.rulesRead(),
  });
  const quarantine = new RuleQuarantine({
    marks: () => config().quarantine,
    source: rules,
    state: new QuarantineState(connection, keys, clock),
    facts: mirror.facts,
    factsKnown: () => mirror.complete,
    connection,
    clock,
    log,
  });
  const context = (): DecisionContext =>
    contextOf(config(), {
      now: clock.now(),
      mode: mirror.mode.mode,
      refuse: (prefix) => facts.refuse(prefix),
      isInfrastructure: (prefix) => facts.isInfrastructure(prefix),
      isOwn: (words) => facts.isOwn(words),
      ruleFacts: (sid, gid) => (rules.ruleset === null ? null : ruleFacts(rules.ruleset, sid, gid)),
      exceptionInside: (network) => mirror.facts.exceptionInside(network),
      conntrack: (alert) => connections.stateOf(alert),
    });
  const heartbeat = new Heartbeat({ connection, keys, version, config, reconciler, mirror, clock, log });
  // More than the mode: whoever is allowed must be known before anybody is decided to be banned.
  const waitsFor = () =>
    mirror.complete ? heartbeat.waitsFor : 'waiting for Redis to say the mode and who is allowed';
  const history =
    first.history === null
      ? null
      : new Recorder({
          directory: historyDirectory(first),
          bounds: first.history,
          isInside: (words) => isInside(prefixOf(words, widthOf(words.family)), context()),
          clock,
          log,
        });
  const keep = { add: (decided: Decided) => history?.add(decided) };
  const decisions = new Decisions({
    context,
    quarantine,
    limits,
    store,
    isBanned,
    offences,
    recent,
    history: keep,
    waitsFor,
    clock,
    log,
  });
  const onContact = history === null ? null : (record: ContactRecord) => history.addContact(record);
  const alertPath = new AlertPath({
    config: first,
    store,
    decisions,
    connection,
    onContact,
    waitsFor: () => waitsFor() ?? quarantine.waitsFor,
    clock,
    log,
  });
  const floods = new FloodStates(log);
  const queue = new PacketQueue({
    numbers: first.queue.numbers,
    get filter() {
      return config().filter;
    },
    get home() {
      return config().home;
    },
    knownGood: connections.memory,
    settledAt: kernel.settledAt,
    rejects: kernel.rejects,
    whenOverloaded: first.queue.whenOverloaded,
    dropping: first.mode === 'enforce',
    keepAlive: true,
    clock,
    log,
    onDetection: (detection) => decisions.onDetection(connections.counted(detection)),
    onFlood: (flood) => floods.onFlood(flood),
    onEnd: () => {
      connections.stopped();
      floods.forget();
    },
  });
  const filterPath = new FilterPath({ queue, kernel, modeKnown, clock, log });
  const learning = new Learning({ queue, file: `${first.state}/learning.json`, clock, log });
  const startedAt = clock.now();
  const parts = {
    settings,
    version,
    startedAt,
    redis,
    connection,
    keys,
    mirror,
    facts,
    liveFacts,
    kernel,
    reconciler,
    recent,
    store,
    connections,
    limits,
    rules,
    quarantine,
    decisions,
    history,
    alertPath,
    filterPath,
    floods,
    learning,
    heartbeat,
    clock,
    log,
    acts: new ManualActs(connection, keys, clock),
    redisCli: redisCliCommand(url),
  };
  const control = new ControlServer(`${first.run}/control.sock`, routesOf(parts, asked));
  let utilization = performance.eventLoopUtilization();
  const heap = new HeapRest({
    clock,
    log,
    used: () => getHeapStatistics().used_heap_size,
    busy: () => {
      const since = performance.eventLoopUtilization(utilization);
      utilization = performance.eventLoopUtilization();
      return since.utilization;
    },
    collect: fullCollection(),
  });
  const services: Service[] = [
    control,
    ...(redis ? [redis] : []),
    liveFacts,
    facts,
    kernel,
    reconciler,
    connection,
    edits,
    // The store first: what waits in the offline journal is in the kernel and not in Redis, and is nobody's unban.
    store,
    mirror,
    // Before all that stores under this host's name, and given back after the last of it.
    heartbeat,
    // Before those who hand it something, so that it stops after them.
    ...(history ? [history] : []),
    rules,
    quarantine,
    decisions,
    // Before the packet filter, whose worker writes it.
    connections,
    learning,
    filterPath,
    alertPath,
    heap,
  ];
  return { ...parts, services };
}
