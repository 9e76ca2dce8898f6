/** A history in a directory of its own, on a clock that stands still, for tests. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLog } from '../../src/base/log.js';
import type { Decided } from '../../src/history/alert-row.js';
import { History } from '../../src/history/history.js';
import { Recorder, type RecorderOptions } from '../../src/history/recorder.js';
import { type AddressWords, parseWords } from '../../src/net/address.js';
import type { Decision } from '../../src/policy/ban.js';
import { type EveAlert, parseAlert } from '../../src/suricata/eve-alert.js';
import type { ContactRecord } from '../../src/suricata/eve-contact.js';
import { FakeClock } from './clock.js';
import { alertLine, temporaryDirectory } from './eve.js';

const open: Recorder[] = [];

/** For `afterAll`, before the directories are removed. */
export async function closeHistories(): Promise<void> {
  for (const recorder of open.splice(0)) await recorder.stop();
}

export class HistoryLab {
  readonly directory: string;
  readonly clock: FakeClock;
  readonly recorder: Recorder;
  readonly history: History;

  constructor(options: Partial<RecorderOptions> & { readonly clock?: FakeClock } = {}) {
    this.directory = options.directory ?? join(temporaryDirectory(), 'history');
    this.clock = options.clock ?? new FakeClock();
    this.recorder = new Recorder({
      bounds: { keep: 7 * 86_400, atMost: 2 ** 31 },
      isInside: (words) => words.family === 4 && words.w0 >>> 24 === 10,
      log: createLog('silent'),
      ...options,
      directory: this.directory,
      clock: this.clock,
    });
    this.history = new History(this.directory);
    open.push(this.recorder);
  }

  /** Adds a decision about one alert at the clock's time. */
  add(address: string, more: Partial<EveAlert> = {}, decision: Partial<Decision> = {}): void {
    this.recorder.add(decided(address, { at: this.clock.now(), ...more }, decision));
  }

  files(ending: string): string[] {
    return readdirSync(this.directory)
      .filter((name) => name.endsWith(ending))
      .sort()
      .map((name) => join(this.directory, name));
  }
}

/** What was decided about one alert of an outside address: noted, unless told otherwise. */
export function decided(address: string, more: Partial<EveAlert> = {}, decision: Partial<Decision> = {}): Decided {
  const alert = parseAlert(JSON.parse(alertLine(1, { src_ip: address }))) as EveAlert;
  const steps = [
    { check: 'engine event', result: 'no', detail: 'sid 2019232 ET EXPLOIT' },
    { check: 'attribution', result: 'inbound', detail: `${address} opened the flow` },
    { check: 'policy', result: 'note', detail: 'no line matched: otherwise' },
  ];
  return {
    alert: { ...alert, ...more },
    detection: null,
    decision: { kind: 'note', why: 'no policy line matched', candidate: address, steps, ...decision } as Decision,
    outcome: 'none',
    policyVersion: '0123456789ab',
  };
}

export function contact(opener: string, responder: string, more: Partial<ContactRecord> = {}): ContactRecord {
  const end = (text: string) => {
    const words = parseWords(text) as AddressWords;
    return words.family === 4 ? { word: words.w0, text: null } : { word: 0, text };
  };
  const [src, dest] = [end(opener), end(responder)];
  return {
    hour: 0,
    srcWord: src.word,
    srcText: src.text,
    destWord: dest.word,
    destText: dest.text,
    port: 443,
    flows: 1,
    bytes: 1000,
    replies: 0,
    answered: true,
    ...more,
  };
}

/** Turns some bits of a file over, in the middle of its bytes. */
export function flipBytes(path: string, bytes: Buffer, at: number, count = 4): void {
  const changed = Buffer.from(bytes);
  for (let i = at; i < Math.min(at + count, changed.length); i++) changed[i] = (changed[i] as number) ^ 0xff;
  writeFileSync(path, changed);
}
