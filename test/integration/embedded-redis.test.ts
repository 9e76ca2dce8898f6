import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import { EmbeddedRedis, redisCliCommand } from '../../src/daemon/embedded-redis.js';
import { hasFeatures } from '../support/feature.js';
import { waitFor } from '../support/netns.js';

describe.skipIf(!hasFeatures('redis-server'))('the embedded Redis', () => {
  let dir: string;
  const started: EmbeddedRedis[] = [];
  const make = (program?: string) => {
    const redis = new EmbeddedRedis({
      state: join(dir, 'state'),
      run: join(dir, 'run'),
      clock: systemClock,
      log: createLog('silent'),
      ...(program ? { program } : {}),
    });
    started.push(redis);
    return redis;
  };
  const cli = (...args: string[]) =>
    execFileSync('redis-cli', ['-s', join(dir, 'run/redis.sock'), ...args], { encoding: 'utf8' }).trim();
  const servers = () =>
    execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes('redis-server') && line.includes(dir)).length;

  const serverPid = () => Number(/process_id:(\d+)/.exec(cli('INFO', 'server'))?.[1]);

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'bq-embedded-'));
  });
  afterEach(async () => {
    for (const redis of started.splice(0)) await redis.stop();
    expect(servers()).toBe(0);
    rmSync(dir, { recursive: true, force: true });
  });

  it('listens on a private socket only, keeps everything, and keeps it over a restart', async () => {
    const redis = make();
    await redis.start();
    expect(redisCliCommand(redis.url)).toBe(`redis-cli -s ${join(dir, 'run/redis.sock')}`);
    expect(statSync(redis.socket).mode & 0o777).toBe(0o660);
    for (const [name, value] of [
      ['port', '0'],
      ['appendonly', 'yes'],
      ['appendfsync', 'everysec'],
      ['maxmemory-policy', 'noeviction'],
      ['protected-mode', 'yes'],
    ] as const) {
      expect(cli('CONFIG', 'GET', name).split('\n')[1]).toBe(value);
    }
    cli('SET', 'barricata:ban:203.0.113.9', 'x');
    await redis.stop();
    expect(servers()).toBe(0);
    const again = make();
    await again.start();
    expect(cli('GET', 'barricata:ban:203.0.113.9')).toBe('x');
  });

  /** What a daemon killed with -9 leaves: its server, without anybody who watches it. */
  async function leftBehind(): Promise<number> {
    const data = join(dir, 'state/redis');
    mkdirSync(data, { recursive: true });
    mkdirSync(join(dir, 'run'), { recursive: true });
    const socket = join(dir, 'run/redis.sock');
    const args = [
      '--port',
      '0',
      '--unixsocket',
      socket,
      '--dir',
      data,
      '--pidfile',
      join(data, 'redis.pid'),
      '--appendonly',
      'yes',
    ];
    const child = spawn('redis-server', [...args, '--appendfsync', 'always'], { stdio: 'ignore' });
    await waitFor('the server to answer', () => existsSync(socket) && cli('SET', 'k', 'kept') === 'OK');
    return child.pid as number;
  }

  it('adopts the server that a killed daemon left', async () => {
    const pid = await leftBehind();
    const redis = make();
    await redis.start();
    expect(serverPid()).toBe(pid);
    expect(servers()).toBe(1);
    await redis.stop();
    expect(servers()).toBe(0);
  });

  it('replaces a server that does not answer, and keeps its data', async () => {
    const pid = await leftBehind();
    process.kill(pid, 'SIGSTOP');
    const redis = make();
    await redis.start();
    expect(serverPid()).not.toBe(pid);
    expect(servers()).toBe(1);
    expect(cli('GET', 'k')).toBe('kept');
  });

  it('starts the server again when it dies', async () => {
    const redis = make();
    await redis.start();
    const pid = serverPid();
    cli('SET', 'k', 'kept');
    await waitFor('the append-only file to be written', () =>
      cli('INFO', 'persistence').includes('aof_pending_bio_fsync:0'),
    );
    process.kill(pid, 'SIGKILL');
    await waitFor('another server', () => serverPid() !== pid, 10_000);
    expect(cli('GET', 'k')).toBe('kept');
    expect(servers()).toBe(1);
  });

  it('leaves a foreign process alone whose pid an old file names', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      const redis = make();
      await redis.start();
      await redis.stop();
      writeFileSync(join(dir, 'state/redis/redis.pid'), String(child.pid));
      await make().start();
      expect(child.exitCode).toBeNull();
      expect(child.signalCode).toBeNull();
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('refuses a socket at which another Redis listens', async () => {
    const foreign = new EmbeddedRedis({
      state: join(dir, 'other'),
      run: join(dir, 'run'),
      clock: systemClock,
      log: createLog('silent'),
    });
    started.push(foreign);
    await foreign.start();
    await expect(make().start()).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/another Redis/),
    });
  });

  it('says what repairs a missing program or a directory that is not writable', async () => {
    await expect(make('redis-server-that-is-not-there').start()).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/apt-get install redis-server/),
    });
    writeFileSync(join(dir, 'file'), '');
    const wrong = new EmbeddedRedis({
      state: join(dir, 'file'),
      run: join(dir, 'run'),
      clock: systemClock,
      log: createLog('silent'),
    });
    await expect(wrong.start()).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/not writable.*state:/),
    });
  });
});
