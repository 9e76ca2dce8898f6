import type { EveAlert } from '../suricata/eve-alert.js';
import type { AlertStream } from './eve-alerts.js';

/** Alerts within which the order of time is restored: more than the threads of a sensor ever mix. */
const WINDOW = 1024;

/**
 * The alerts of all inputs in the order of their time, whatever the order in
 * which the inputs were named: rotated files follow each other, files that
 * several threads wrote at once are merged. Alerts of one moment keep the order
 * of their file. What is out of order by more than the window stays so.
 */
export async function* alertsInOrder(streams: readonly AlertStream[], window = WINDOW): AsyncGenerator<EveAlert> {
  const waiting = new AlertHeap();
  const open: AlertStream[] = [];
  for (const stream of streams) if (await stream.more()) open.push(stream);
  while (open.length > 0) {
    const { stream, alert } = earliest(open);
    waiting.push(alert);
    stream.take();
    if (stream.head === null && !(await stream.more())) open.splice(open.indexOf(stream), 1);
    if (waiting.size > window) yield waiting.pop() as EveAlert;
  }
  for (let alert = waiting.pop(); alert !== undefined; alert = waiting.pop()) yield alert;
}

function earliest(open: readonly AlertStream[]): { readonly stream: AlertStream; readonly alert: EveAlert } {
  let stream = open[0] as AlertStream;
  let alert = stream.head as EveAlert;
  for (const other of open) {
    const head = other.head as EveAlert;
    if (head.at < alert.at) {
      stream = other;
      alert = head;
    }
  }
  return { stream, alert };
}

interface Entry {
  readonly alert: EveAlert;
  /** Of two alerts of one moment the one that came first goes first. */
  readonly order: number;
}

/** A binary heap with the earliest alert on top. */
class AlertHeap {
  readonly #entries: Entry[] = [];
  #pushed = 0;

  get size(): number {
    return this.#entries.length;
  }

  push(alert: EveAlert): void {
    const entries = this.#entries;
    const entry = { alert, order: this.#pushed++ };
    let at = entries.length;
    entries.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent] as Entry;
      if (!isBefore(entry, above)) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): EveAlert | undefined {
    const entries = this.#entries;
    const top = entries[0];
    const last = entries.pop();
    if (top === undefined || last === undefined || entries.length === 0) return top?.alert;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      const right = entries[child + 1];
      if (right !== undefined && isBefore(right, entries[child] as Entry)) child += 1;
      const below = entries[child] as Entry;
      if (!isBefore(below, last)) break;
      entries[at] = below;
      at = child;
    }
    entries[at] = last;
    return top.alert;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.alert.at < b.alert.at || (a.alert.at === b.alert.at && a.order < b.order);
}
