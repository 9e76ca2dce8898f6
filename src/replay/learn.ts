import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Readable, pipeline as streamPipeline } from 'node:stream';
import { constants, createGunzip, gunzipSync } from 'node:zlib';
import { messageOf } from '../base/errors.js';
import type { FilterConfig } from '../config/config.js';
import { TrafficProfile } from '../filter/learn/profile.js';
import { mergeReports, type ProfileReport, windowsOf } from '../filter/learn/report.js';
import type { Prefix } from '../net/prefix.js';
import { ReplayError } from './errors.js';
import { framesOf, isCapture } from './frames.js';
import { openInput } from './input.js';
import { CaptureLearner } from './learn-capture.js';
import { FlowLearner } from './learn-flows.js';

export interface LearnOptions {
  readonly filter: FilterConfig;
  readonly home: readonly Prefix[];
  readonly seed: number;
  /** A private directory for what cannot be read twice. */
  readonly scratch: string;
  /** Longest line of an eve file, bytes. */
  readonly longestLine: number;
}

/** What was read of one file, and what could not be used. */
export interface Learned {
  readonly name: string;
  readonly kind: 'capture' | 'eve';
  /** Packets or flows. */
  readonly read: number;
  readonly unusable: number;
  readonly report: ProfileReport;
}

/** What captures and eve files with flow events show of normal traffic. @throws ReplayError */
export async function learnFrom(
  files: readonly string[],
  options: LearnOptions,
): Promise<{ readonly files: readonly Learned[]; readonly report: ProfileReport }> {
  const learned: Learned[] = [];
  for (const [index, file] of files.entries()) learned.push(await learnOne(file, index, options));
  const usable = learned.filter(({ read }) => read > 0);
  if (usable.length === 0) {
    const hint = 'captures (pcap, pcapng), and eve files with flow events, can be learned from';
    throw new ReplayError('learn', 'unreadable', `nothing to learn from in ${files.join(', ')}: ${hint}`);
  }
  return { files: learned, report: mergeReports(usable.map(({ report }) => report)) };
}

async function learnOne(file: string, index: number, options: LearnOptions): Promise<Learned> {
  const profile = new TrafficProfile({ ...options, answers: true, origin: 0 });
  const { capture, compressed } = file === '-' ? { capture: false, compressed: false } : await kindOf(file);
  if (capture) {
    const learner = new CaptureLearner(profile);
    for await (const frame of framesOf(file, piecesOf(file, compressed))) learner.take(frame);
    const { packets: read, unusable, now } = learner;
    return { name: file, kind: 'capture', read, unusable, report: profile.report(now, true) };
  }
  const learner = new FlowLearner(profile, windowsOf(options.filter).icmp);
  const ofCapture = () => Promise.reject(new ReplayError('learn', 'unknown_format', `${file}: name captures as files`));
  const input = await openInput(file, { scratch: options.scratch, index, ofCapture });
  try {
    const ignored = () => undefined;
    for await (const { lines } of input.blocks(options.longestLine, ignored, ignored)) learner.take(lines);
    learner.end();
  } finally {
    await input.close();
  }
  const { flows: read, unusable, now } = learner;
  return { name: file, kind: 'eve', read, unusable, report: profile.report(now, true) };
}

async function kindOf(file: string): Promise<{ readonly capture: boolean; readonly compressed: boolean }> {
  try {
    const handle = await open(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
      const head = buffer.subarray(0, bytesRead);
      const compressed = head.length > 2 && head.readUInt16BE(0) === 0x1f8b;
      const plain = compressed ? gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH }) : head;
      return { capture: isCapture(plain), compressed };
    } finally {
      await handle.close();
    }
  } catch {
    // What cannot be read is told by who opens it next, in its own words.
    return { capture: false, compressed: false };
  }
}

/** A compressed file that was cut ends where it was cut, as a plain one does. */
async function* piecesOf(file: string, compressed: boolean): AsyncGenerator<Buffer> {
  const source = createReadStream(file, { highWaterMark: 256 * 1024 });
  let stream: Readable = source;
  if (compressed) {
    const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
    streamPipeline(source, gunzip, () => undefined);
    stream = gunzip;
  }
  try {
    for await (const piece of stream) yield piece as Buffer;
  } catch (error) {
    throw new ReplayError('learn', 'unreadable', `${file} is damaged (${messageOf(error)})`, error);
  }
}
