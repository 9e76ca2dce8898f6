import { describe, expect, it } from 'vitest';
import type { RedisLink } from '../../../src/suricata/eve-redis.js';
import { EveRedisList } from '../../../src/suricata/eve-redis-list.js';
import { FakeClock } from '../../support/clock.js';

/** A Redis with two lists, into which something may be pushed between two commands. */
class FakeRedis implements RedisLink {
  readonly up = true;
  readonly problem = null;
  readonly lists = new Map<string, Buffer[]>();
  between: (command: string) => void = () => {};

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  reconnect(): void {}
  onReady(): void {}

  list(key: string): Buffer[] {
    const list = this.lists.get(key) ?? [];
    this.lists.set(key, list);
    return list;
  }

  async call(_command: string, key: string): Promise<unknown> {
    return this.list(key).length === 0 ? 'none' : 'list';
  }

  async callBuffer(command: string, ...[key, ...args]: (string | number | Buffer)[]): Promise<unknown> {
    const list = this.list(String(key));
    try {
      if (command === 'LRANGE') return list.slice(args[0] as number);
      if (command === 'LINDEX') return list.at(args[0] as number) ?? null;
      if (command === 'LREM')
        return list.splice(
          list.findLastIndex((line) => line.equals(args[1] as Buffer)),
          1,
        ).length;
      const line = (args[1] === 'LEFT' ? list.shift() : list.pop()) ?? null;
      if (line !== null) this.list(String(args[0])).unshift(line);
      return line;
    } finally {
      this.between(command);
    }
  }
}

const KEPT = 'suricata:barricata:sensor1';

async function opened() {
  const redis = new FakeRedis();
  const clock = new FakeClock();
  const queue = new EveRedisList(redis, 'suricata', 'sensor1', clock);
  await queue.begin(() => {});
  const taken: string[] = [];
  const take = async () => {
    taken.push(...(await queue.take(8)).map(String));
    await queue.forget();
  };
  return { redis, clock, take, taken };
}

describe('EveRedisList', () => {
  it('takes a line that comes between its commands', async () => {
    const { redis, take, taken } = await opened();
    for (const at of [1, 3, 8, 9]) {
      let moves = 0;
      redis.between = (command) => {
        if (command !== 'LRANGE') moves += 1;
        if (moves === at) redis.list('suricata').unshift(Buffer.from(`line ${at}`));
      };
      await take();
      redis.between = () => {};
      await take();
      expect(taken.at(-1)).toBe(`line ${at}`);
    }
    expect(taken).toHaveLength(4);
    expect(redis.list(KEPT)).toEqual([]);
  });

  it('finds within ten seconds what a command of a connection that was given up has moved late', async () => {
    const { redis, clock, take, taken } = await opened();
    await take();
    redis.list(KEPT).push(Buffer.from('late'));
    await clock.advance(9000);
    await take();
    expect(taken).toEqual([]);
    await clock.advance(1001);
    await take();
    expect(taken).toEqual(['late']);
    expect(redis.list(KEPT)).toEqual([]);
  });
});
