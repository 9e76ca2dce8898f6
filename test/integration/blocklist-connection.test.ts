import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import { RedisConnection } from '../../src/blocklist/connection.js';
import { Keys } from '../../src/blocklist/keys.js';
import { Mirror } from '../../src/blocklist/mirror.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';

describe.skipIf(!hasFeatures('root', 'redis-server'))('a Redis over the network', () => {
  const stops: (() => Promise<void>)[] = [];
  beforeAll(enterPrivateNetns);
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  async function server(...args: string[]): Promise<TestRedis> {
    const redis = new TestRedis(...args);
    stops.push(() => redis.stop());
    return redis.start();
  }
  async function connected(url: string): Promise<RedisConnection> {
    const connection = new RedisConnection(url);
    stops.push(() => connection.stop());
    await connection.start();
    return connection;
  }
  async function follows(redis: TestRedis, url: string): Promise<void> {
    const connection = await connected(url);
    const mirror = new Mirror({
      connection,
      url,
      keys: new Keys(),
      clock: systemClock,
      log: createLog('silent'),
      onChange() {},
    });
    await mirror.start();
    stops.push(() => mirror.stop());
    await waitFor('the first comparison', () => mirror.complete && mirror.status().tracking);
    redis.cli('SET', 'barricata:ban:203.0.113.9', 'x');
    await waitFor('the ban', () => mirror.get('ban', '203.0.113.9') !== undefined, 500, 2);
  }

  it('is followed by TCP, with a password', async () => {
    const redis = await server('--port', '7001');
    redis.cli('ACL', 'SETUSER', 'daemon', 'on', '>p@ss', '~*', '&*', '+@all');
    await follows(redis, 'redis://daemon:p%40ss@127.0.0.1:7001');
  });

  it('that refuses the login or a command is told from one that is away', async () => {
    const redis = await server('--port', '7002');
    redis.cli('ACL', 'SETUSER', 'reader', 'on', '>right', '~*', '&*', '+@read', '+@connection', '+info');
    await expect((await connected('redis://reader:wrong@127.0.0.1:7002')).ready(500)).rejects.toMatchObject({
      kind: 'auth',
    });
    const reader = await connected('redis://reader:right@127.0.0.1:7002');
    await reader.ready();
    await expect(reader.call('SET', 'a', 'b')).rejects.toMatchObject({ kind: 'auth' });
    await expect((await connected('redis://127.0.0.1:7003')).ready(500)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('that is a replica takes no writes', async () => {
    const redis = await server('--port', '7004', '--replicaof', '127.0.0.1 7005');
    const connection = await connected(redis.url);
    await connection.ready();
    await expect(connection.call('SET', 'a', 'b')).rejects.toMatchObject({ kind: 'read_only' });
  });

  it('that hangs fails a command within its time', async () => {
    const redis = await server('--port', '7006');
    const connection = await connected('redis://127.0.0.1:7006');
    await connection.ready();
    process.kill(redis.pid, 'SIGSTOP');
    const before = performance.now();
    await expect(connection.call('PING')).rejects.toMatchObject({ kind: 'unreachable' });
    expect(performance.now() - before).toBeLessThan(4000);
    process.kill(redis.pid, 'SIGCONT');
  });

  it('is followed by TLS, and not trusted without its authority', async () => {
    const cert = new TestRedis();
    stops.push(() => cert.stop());
    const [key, pem] = [join(cert.dir, 'key.pem'), join(cert.dir, 'cert.pem')];
    run(
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=redis',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      key,
      '-out',
      pem,
    );
    const redis = await server(
      '--tls-port',
      '7007',
      '--tls-cert-file',
      pem,
      '--tls-key-file',
      key,
      '--tls-ca-cert-file',
      pem,
      '--tls-auth-clients',
      'no',
    );
    await follows(redis, `rediss://127.0.0.1:7007?ca=${pem}`);
    await expect((await connected('rediss://127.0.0.1:7007')).ready(500)).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/certificate/),
    });
  });
});
