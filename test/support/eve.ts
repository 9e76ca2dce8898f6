/** Eve lines and a source to read them with, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { systemClock } from '../../src/base/clock.js';
import type { EveBatch } from '../../src/suricata/eve-alert.js';
import { EveSource, type EveSourceOptions } from '../../src/suricata/eve-source.js';
import { waitFor } from './netns.js';

/** One alert of Suricata 7 as a line; `n` is its flow id, by which tests tell alerts apart. */
export function alertLine(n: number, more: Record<string, unknown> = {}): string {
  return `${JSON.stringify({
    timestamp: '2026-11-22T16:25:51.374573+0000',
    flow_id: n,
    in_iface: 'eth0',
    event_type: 'alert',
    src_ip: '203.0.113.66',
    src_port: 43932,
    dest_ip: '192.168.50.10',
    dest_port: 80,
    proto: 'TCP',
    alert: {
      action: 'allowed',
      gid: 1,
      signature_id: 2019232,
      rev: 2,
      signature: 'ET EXPLOIT',
      category: 'Web Application Attack',
      severity: 1,
    },
    ...more,
  })}\n`;
}

export function alertLines(from: number, to: number): string {
  let text = '';
  for (let n = from; n < to; n++) text += alertLine(n);
  return text;
}

export function flowLine(n: number): string {
  return `{"timestamp":"2026-11-22T16:25:51.374573+0000","flow_id":${n},"event_type":"flow","src_ip":"203.0.113.66","dest_ip":"192.168.50.10","proto":"TCP"}\n`;
}

/** Numbers handed on by a source, in order, with what else tests ask about. */
export class Reading {
  readonly directory: string;
  readonly seen: number[] = [];
  readonly batches: EveBatch[] = [];
  readonly positions = new Map<string, string>();
  readonly source: EveSource;

  /** @param entries further sources: sockets, lists and streams */
  constructor(
    globs: string | readonly string[],
    options: Partial<EveSourceOptions> & { directory?: string; entries?: readonly string[] } = {},
  ) {
    const { directory, entries = [], ...rest } = options;
    this.directory = directory ?? temporaryDirectory();
    this.source = new EveSource({
      globs: [...[globs].flat().map((glob) => join(this.directory, glob)), ...entries],
      longestLine: 16 << 20,
      positions: new Map(),
      clock: systemClock,
      log: pino({ level: 'silent' }),
      graceMs: 400,
      onBatch: async (batch) => this.take(batch),
      ...rest,
    });
  }

  take(batch: EveBatch): void {
    this.batches.push(batch);
    for (const alert of batch.alerts) this.seen.push(alert.flowId ?? -1);
    if (batch.position !== null) this.positions.set(batch.source, batch.position);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Events of all paths, summed. */
  event(name: string): number {
    return this.source.status().paths.reduce((sum, path) => sum + (path.events[name] ?? 0), 0);
  }

  /** Waits until `count` alerts came, then gives them sorted. */
  async got(count: number, deadlineMs?: number): Promise<number[]> {
    await waitFor(`${count} alerts`, () => this.seen.length >= count, deadlineMs).catch((error) => {
      throw new Error(`${error.message}; ${this.seen.length} came: ${JSON.stringify(this.source.status())}`);
    });
    return [...this.seen].sort((a, b) => a - b);
  }
}

const made: string[] = [];

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'barricata-eve-'));
  made.push(directory);
  return directory;
}

export function removeTemporaryDirectories(): void {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
}

/** 0, 1, ... n-1. */
export function numbers(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}
