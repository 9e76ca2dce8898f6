import type { Subject } from './subject.js';
import type { Trial } from './trials.js';
import type { Actor, World } from './world.js';

const LOOK_EVERY_MS = 15;
/** Detected is what leads to a ban within this time after the last packet, ms. */
const LATEST_MS = 3000;
/** What was dropped is seen at once; this long is waited for what was not, ms. */
const SETTLED_MS = 300;

export interface Score {
  readonly name: string;
  readonly result: 'detected' | 'dropped' | 'passed' | 'missed' | 'wrong' | 'off' | 'not tested';
  readonly ok: boolean;
  /** From the first packet to the ban, or to the alarm, ms; `null` = there is none. */
  readonly after: number | null;
  readonly sent: number;
  /** Packets of the attack that reached the server; `null` where they cannot be told. */
  readonly passed: number | null;
  /** Connections of the innocent meanwhile. */
  readonly served: number;
  readonly failed: number;
  readonly detail: string;
}

export function untested(name: string, result: 'off' | 'not tested', detail: string): Score {
  return { name, result, ok: true, after: null, sent: 0, passed: null, served: 0, failed: 0, detail };
}

/** The parts that a trial is made with. */
export interface Bench {
  readonly world: World;
  readonly subject: Subject;
  readonly sender: Actor;
  readonly client: Actor;
  readonly signal: AbortSignal;
}

/** Makes one attack, and says what came of it. */
export async function attempt(trial: Trial, bench: Bench): Promise<Score> {
  const { world, subject, sender, client } = bench;
  const count = ['iptables', '-w', '-t', 'filter'];
  // What resets the answers to forged packets is no part of the attack.
  const what = trial.shots.protocol === 'tcp' ? ['-p', 'tcp', '!', '--tcp-flags', 'RST', 'RST'] : [];
  const rule = ['INPUT', '-s', trial.source, '-i', 'atk', ...what];
  const counts = trial.shots.source !== 'random';
  if (counts) await world.run(world.server, ...count, '-A', ...rule);
  const before = new Set(await subject.banned());
  const found = await subject.detections();
  await taken(client);
  const began = performance.now();
  sender.say(JSON.stringify(trial.shots));
  let end = Number.POSITIVE_INFINITY;
  const sending = sender.hears().then((line) => {
    end = performance.now() + (trial.expected === 'ban' || trial.expected === 'flood' ? LATEST_MS : SETTLED_MS);
    return Number(line);
  });
  let after: number | null = null;
  while (performance.now() < end) {
    bench.signal.throwIfAborted();
    if (await happened(trial, subject)) {
      after = Math.round(performance.now() - began);
      break;
    }
    await Promise.race([pause(LOOK_EVERY_MS), sending.then(() => pause(LOOK_EVERY_MS))]);
  }
  // After the ban it goes on for a little, so that what passes then is counted too.
  if (after !== null) await pause(100);
  sender.say('stop');
  const sent = await sending;
  const passed = counts ? await passedBy(world, trial.source) : null;
  if (counts) await world.run(world.server, ...count, '-D', ...rule);
  const newlyBanned = (await subject.banned()).filter((address) => !before.has(address));
  const { served, failed } = await taken(client);
  const seen = Object.entries(await subject.detections()).flatMap(([name, n]) =>
    n > (found[name] ?? 0) ? [name] : [],
  );
  return {
    name: trial.name,
    after,
    sent,
    passed,
    served,
    failed,
    ...judge(trial, { after, passed, newlyBanned, seen, failed }),
  };
}

interface Seen {
  readonly after: number | null;
  readonly passed: number | null;
  readonly newlyBanned: readonly string[];
  readonly seen: readonly string[];
  readonly failed: number;
}

function judge(
  trial: Trial,
  { after, passed, newlyBanned, seen, failed }: Seen,
): Pick<Score, 'result' | 'ok' | 'detail'> {
  const innocent = failed === 0;
  const hurt = innocent ? '' : `${failed} connections of the innocent failed`;
  const others = newlyBanned.filter((address) => address !== trial.source);
  const scored = (result: Score['result'], good: boolean, detail: string) => ({
    result,
    ok: good && innocent,
    detail: [detail, hurt].filter(Boolean).join('; '),
  });
  if (others.length > 0)
    return scored('wrong', false, `banned ${others.length} others: ${others.slice(0, 3).join(', ')}`);
  switch (trial.expected) {
    case 'ban':
      if (after === null) return scored('missed', false, 'nobody was banned');
      if (!seen.includes(trial.name)) return scored('wrong', false, `banned by ${seen.join(', ') || 'nobody'}`);
      return scored('detected', true, '');
    case 'flood':
      if (after === null) return scored('missed', false, 'no flood alarm');
      return scored('detected', true, 'nobody was banned');
    case 'drop':
      if (newlyBanned.length > 0) return scored('wrong', false, 'banned for what is only dropped');
      return passed === 0 ? scored('dropped', true, '') : scored('missed', false, `${passed} packets passed`);
    case 'pass':
      return (passed ?? 0) > 0 ? scored('passed', true, '') : scored('missed', false, 'nothing passed');
  }
}

async function happened({ expected, source }: Trial, subject: Subject): Promise<boolean> {
  if (expected === 'ban') return subject.drops(source);
  if (expected === 'flood') return (await subject.status()).alarms.some(({ name }) => name === 'flood');
  return false;
}

/** Packets from an address that came through to the server itself: past the queue, and past what rejects. */
async function passedBy(world: World, source: string): Promise<number> {
  const table = await world.run(world.server, 'iptables-save', '-c', '-t', 'filter');
  const line = table.split('\n').find((text) => text.includes(`-A INPUT -s ${source}/32 -i atk`));
  return Number(/^\[(\d+):/.exec(line ?? '')?.[1] ?? Number.NaN);
}

async function taken(client: Actor): Promise<{ readonly served: number; readonly failed: number }> {
  client.say('');
  return JSON.parse(await client.hears()) as { served: number; failed: number };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
