import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RedisConnection, redisOptions } from '../../../src/blocklist/connection.js';
import { blocklistError } from '../../../src/blocklist/errors.js';

const dir = new URL('../../../src/blocklist/lua/', import.meta.url);
const scripts = readdirSync(dir)
  .filter((file) => file.endsWith('.lua'))
  .map((file) => ({ file, text: readFileSync(new URL(file, dir), 'utf8') }));
const sources = readdirSync(new URL('../', dir))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(new URL(`../${file}`, dir), 'utf8'))
  .join('\n');

describe('the Lua scripts', () => {
  it('are seen by this test', () => {
    expect(scripts.length).toBeGreaterThan(6);
  });

  it.each(scripts)('$file states KEYS, ARGV and output, and uses the number of KEYS in its name', ({ file, text }) => {
    const number = Number(/-(\d+)\.lua$/.exec(file)?.[1]);
    const header = /^(?:--.*\n)+/.exec(text)?.[0] ?? '';
    const stated = /-- KEYS: ([\s\S]*?)-- ARGV:/.exec(header)?.[1] ?? '';
    expect(header).toMatch(/-- Output: /);
    expect([...stated.matchAll(/(?:^|; |\n--\s+)(\d) /g)].map((match) => Number(match[1]))).toEqual(
      Array.from({ length: number }, (_, i) => i + 1),
    );
    const used = [...text.slice(header.length).matchAll(/KEYS\[(\d)\]/g)].map((match) => Number(match[1]));
    for (const index of used) expect(index).toBeLessThanOrEqual(number);
    // A key that only says on which node of a cluster to run is not used.
    if (!text.includes('KEYS[i]') && !stated.includes('routes the script')) expect(new Set(used).size).toBe(number);
    expect(sources).toContain(`'${file.replace('.lua', '')}'`);
  });
});

describe('addresses of Redis', () => {
  it('are read with login, database and TLS', () => {
    expect(redisOptions('unix:///run/barricata/redis.sock?db=2')).toMatchObject({
      path: '/run/barricata/redis.sock',
      db: 2,
    });
    expect(redisOptions('redis://[2001:db8::1]:7000/3')).toMatchObject({ host: '2001:db8::1', port: 7000, db: 3 });
    expect(redisOptions('rediss://soc:p%40ss@redis.example')).toMatchObject({
      username: 'soc',
      password: 'p@ss',
      host: 'redis.example',
      port: 6379,
      tls: { servername: 'redis.example' },
    });
    for (const url of ['http://x', 'redis://x/abc', 'nonsense']) expect(() => redisOptions(url)).toThrow(/redis:/);
    expect(new RedisConnection('redis://u:secret@h:1').address).toBe('redis://h:1');
  });

  it('and errors are told apart by their code', () => {
    const reply = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });
    const kinds = (message: string) => blocklistError('x', reply(message)).kind;
    expect(kinds('LOADING Redis is loading the dataset in memory')).toBe('loading');
    expect(kinds('NOAUTH Authentication required.')).toBe('auth');
    expect(kinds("READONLY You can't write against a read only replica.")).toBe('read_only');
    expect(kinds("OOM command not allowed when used memory > 'maxmemory'.")).toBe('out_of_memory');
    expect(
      kinds("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."),
    ).toBe('read_only');
    // From within a script, as Redis 6 and 7 say it.
    expect(
      kinds(
        "ERR Error running script (call to f_5c2b): @user_script:9: @user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.",
      ),
    ).toBe('out_of_memory');
    expect(kinds("READONLY You can't write against a read only replica. script: 5c2b, on @user_script:9.")).toBe(
      'read_only',
    );
    expect(kinds('NOREPLICAS Not enough good replicas to write. script: 5c2b, on @user_script:9.')).toBe('read_only');
    expect(kinds("ERR invalid expire time in 'set' command script: 5c2b, on @user_script:9.")).toBe('refused');
    expect(kinds('ERR unknown command')).toBe('refused');
    expect(kinds('WRONGTYPE Operation against a key holding the wrong kind of value')).toBe('refused');
    expect(blocklistError('x', new Error('connect ENOENT')).kind).toBe('unreachable');
  });
});
