/** A packet pipeline with a clock that a test moves, and a connection tracking that the test plays. */
import type { FilterConfig } from '../../src/config/config.js';
import type { Detection, Flood } from '../../src/filter/detection.js';
import type { Endpoints } from '../../src/filter/detector.js';
import { Pipeline, type PipelineOptions } from '../../src/filter/pipeline.js';
import { type AddressWords, parseWords } from '../../src/net/address.js';
import { prefix } from '../../src/net/prefix.js';
import { NO_FILTER } from './filter.js';
import { be16, ip, tcp } from './packets.js';

export const NOON = Date.UTC(2026, 10, 28, 12);
export const SERVER = '192.168.50.10';
export const SCANNER = '203.0.113.66';
export const CUSTOMER = '198.51.100.7';

export class Bench {
  readonly found: Detection[] = [];
  readonly floods: Flood[] = [];
  readonly pipeline: Pipeline;
  readonly good = new Set<string>();
  known = false;
  now = 0;
  #wall = NOON;

  constructor(config: Partial<FilterConfig>, options: Partial<PipelineOptions> = {}) {
    const bench = this;
    this.pipeline = new Pipeline({
      config: { ...NO_FILTER, ...config },
      seed: 7,
      home: [prefix('192.168.0.0/16')],
      connections: {
        get known() {
          return bench.known;
        },
        isKnownGood: (of) => bench.good.has(`${of.source0}`),
        expectRefusals: () => undefined,
      },
      ...options,
    });
  }

  at(wall: number): this {
    this.#wall = wall - this.now;
    return this;
  }

  send(bytes: Uint8Array, afterMs = 0): number {
    this.now += afterMs;
    this.pipeline.tick(this.now, this.#wall + this.now);
    const verdict = this.pipeline.judge(bytes, 0, bytes.length, bytes.length);
    this.found.push(...this.pipeline.take());
    this.floods.push(...this.pipeline.takeFloods());
    return verdict;
  }

  pass(ms: number): void {
    this.now += ms;
    this.pipeline.tick(this.now, this.#wall + this.now);
    this.floods.push(...this.pipeline.takeFloods());
  }

  connection(source: string, port: number, target = SERVER, sourcePort = 40_000) {
    const from = parseWords(source) as AddressWords;
    const to = parseWords(target) as AddressWords;
    return {
      family: from.family,
      source0: from.w0,
      source1: from.w1,
      source2: from.w2,
      source3: from.w3,
      target0: to.w0,
      target1: to.w1,
      target2: to.w2,
      target3: to.w3,
      sourcePort,
      targetPort: port,
    } satisfies Endpoints & { sourcePort: number; targetPort: number };
  }

  complete(source: string, port: number, target = SERVER): void {
    this.known = true;
    this.pipeline.completed(this.connection(source, port, target));
  }

  /** A connection from its first packet to its completion. */
  connect(source: string, port: number, afterMs = 0, target = SERVER): number {
    const verdict = this.send(tcp({ source, target, port }), afterMs);
    this.complete(source, port, target);
    return verdict;
  }

  get names(): string[] {
    return this.found.map(({ detector, source }) => `${detector} ${source}`);
  }
}

export const syn = (source: string, port = 80, target = SERVER) => tcp({ source, target, port });
export const udp = (source: string, port: number, sourcePort = 40_000) =>
  ip(source, SERVER, 17, [...be16(sourcePort), ...be16(port), 0, 8, 0, 0]);
export const RATE = { perSecond: 200, during: 3, ban: 600 };
export const PORTS = { most: 30, within: 60, ban: 600 };
