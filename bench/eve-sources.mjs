/**
 * How soon is an alert handed on that comes over a socket or through Redis,
 * beside the file? And what does a socket lose?
 *
 *   node bench/eve-sources.mjs [ALERTS]        needs `npm run build` and redis-server
 *
 * Latency: another process writes one alert at a time, 3 to 33 ms apart, each
 * with the moment of its writing; the four ways take turns. Loss: a process
 * that never waits, as Suricata, writes 5,000 alerts a second to a socket while
 * batches are stored at once, while storing takes 2 ms, and while it stands
 * still for a second.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quantile } from './support/lab.mjs';

const { RedisConnection } = await import('../dist/blocklist/connection.js');
const { EveSource } = await import('../dist/suricata/eve-source.js');
const { systemClock } = await import('../dist/base/clock.js');
const { createLog } = await import('../dist/base/log.js');

const self = fileURLToPath(import.meta.url);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const alertLine = (id) =>
  `{"timestamp":"2026-11-22T16:00:00.000000+0000","flow_id":${id},"event_type":"alert","src_ip":"203.0.113.66","dest_ip":"192.168.50.10","proto":"TCP","alert":{"signature_id":1}}`;

/** How each way is written to; `target` is a path. */
const writers = {
  async file(target) {
    return (line) => appendFileSync(target, `${line}\n`);
  },
  async socket(target) {
    const socket = connect(target);
    await new Promise((resolve) => socket.once('connect', resolve));
    return (line) => socket.write(`${line}\n`);
  },
  async list(target) {
    const redis = await connected(target);
    return (line) => redis.call('LPUSH', 'list', line);
  },
  async stream(target) {
    const redis = await connected(target);
    return (line) => redis.call('XADD', 'stream', 'MAXLEN', '~', 100000, '*', 'eve', line);
  },
};

async function connected(path) {
  const redis = new RedisConnection(`unix://${path}`);
  await redis.start();
  await redis.ready();
  return redis;
}

async function write(way, target, count) {
  const put = await writers[way](target);
  for (let written = 0; written < count; written++) {
    await pause(3 + (written % 31));
    await put(alertLine(process.hrtime.bigint()));
  }
  process.exit(0);
}

/** Writes to a unix socket as Suricata does: what the socket does not take at once is dropped. */
const HURRIED = `
import socket, sys, time
path, line, rate, count = sys.argv[1], sys.argv[2].encode() + b"\\n", float(sys.argv[3]), int(sys.argv[4])
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.connect(path)
s.setblocking(False)
begin = time.monotonic()
sent = 0
for n in range(count):
    due = begin + n / rate
    now = time.monotonic()
    if due > now:
        time.sleep(due - now)
    try:
        if s.send(line) == len(line):
            sent += 1
    except BlockingIOError:
        pass
print(sent)
`;

async function following(entry, onBatch) {
  const source = new EveSource({
    globs: [entry],
    longestLine: 16 << 20,
    positions: new Map(),
    clock: systemClock,
    log: createLog('silent'),
    connect: (url) => new RedisConnection(url, 'eve'),
    host: 'bench',
    onBatch,
  });
  await source.start();
  while (!source.status().paths[0]?.opened) await pause(5);
  return source;
}

async function latency(way, entry, target, count) {
  const values = [];
  const source = await following(entry, async (batch) => {
    const now = process.hrtime.bigint();
    for (const alert of batch.alerts) values.push(Number(now - BigInt(alert.flowId)) / 1e6);
  });
  const child = spawn(process.execPath, [self, '--write', way, target, String(count)], { stdio: 'inherit' });
  await new Promise((resolve) => child.once('exit', resolve));
  for (const end = performance.now() + 5000; values.length < count && performance.now() < end; ) await pause(10);
  await source.stop();
  if (values.length !== count) throw new Error(`${way}: ${values.length} of ${count} alerts came`);
  return values;
}

async function loss(name, path, store) {
  let came = 0;
  const source = await following(`unix://${path}`, async (batch) => {
    await store(came);
    came += batch.alerts.length;
  });
  const count = 20_000;
  const child = spawn('python3', ['-c', HURRIED, path, alertLine(1), '5000', String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let sent = '';
  child.stdout.on('data', (chunk) => {
    sent += chunk;
  });
  await new Promise((resolve) => child.once('exit', resolve));
  for (const end = performance.now() + 5000; came < Number(sent) && performance.now() < end; ) await pause(10);
  await source.stop();
  console.log(
    `${name.padEnd(40)} written ${count}  taken by the socket ${sent.trim().padStart(5)}  handed on ${String(came).padStart(5)}  lost ${((1 - came / count) * 100).toFixed(1)} %`,
  );
}

async function main(count) {
  const directory = mkdtempSync(join(tmpdir(), 'barricata-bench-'));
  const socket = join(directory, 'redis.sock');
  const redis = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', directory], {
    stdio: 'ignore',
  });
  try {
    await (await connected(socket)).stop();
    const file = join(directory, 'eve.json');
    writeFileSync(file, '');
    const ways = [
      ['file', file, file],
      ['socket', `unix://${directory}/eve.sock`, join(directory, 'eve.sock')],
      ['list', `unix://${socket}?list=list`, socket],
      ['stream', `unix://${socket}?stream=stream`, socket],
    ];
    const values = new Map(ways.map(([way]) => [way, []]));
    const rounds = 3;
    for (let round = 0; round < rounds; round++) {
      writeFileSync(file, '');
      for (const [way, entry, target] of ways)
        values.get(way)?.push(...(await latency(way, entry, target, Math.ceil(count / rounds))));
    }
    const p50 = (way) => quantile(values.get(way) ?? [], 0.5);
    for (const [way, all] of values) {
      const q = (part) => quantile(all, part).toFixed(2);
      const ratio = way === 'file' ? '' : `  ratio to the file ${(p50(way) / p50('file')).toFixed(2)}`;
      console.log(
        `${`${way}: written to handed on`.padEnd(32)} n ${all.length}  p50 ${q(0.5)} ms  p90 ${q(0.9)}  p99 ${q(0.99)}  max ${Math.max(...all).toFixed(2)}${ratio}`,
      );
    }
    const lossy = join(directory, 'lossy.sock');
    await loss('socket, stored at once', lossy, async () => {});
    await loss('socket, 2 ms to store a batch', lossy, () => pause(2));
    await loss('socket, storing stands still for 1 s', lossy, (came) => (came === 0 ? pause(1000) : undefined));
  } finally {
    redis.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

const [, , first, ...args] = process.argv;
if (first === '--write') await write(args[0], args[1], Number(args[2]));
else await main(Number(first ?? 300));
