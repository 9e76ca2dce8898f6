// 100,000 keys in Redis, an empty kernel: how long from the start of the process
// until the kernel is complete? The floors, measured in the same run: one walk
// over the same Redis, and one `ipset restore` of the same list. Reach: at most
// their sum plus 0.7 s for Node itself.
import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { address, fill } from './support/fill.mjs';
import { Lab, quantile, spread, until } from './support/lab.mjs';

const ENTRIES = Number(process.env.ENTRIES ?? 100_000);
const REPEATS = Number(process.env.REPEATS ?? 9);
const lab = new Lab('start');
const WALK = `local r=redis.call('SCAN',ARGV[1],'MATCH','barricata:ban:*','COUNT',1000,'TYPE','string')
local o={r[1]} for i,k in ipairs(r[2]) do o[#o+1]=k o[#o+1]=redis.call('PEXPIRETIME',k) end return o`;
try {
  writeFileSync(`${lab.folder}/eve.json`, '');
  const path = `${lab.folder}/outside.sock`;
  const server = spawn(
    'redis-server',
    ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no', '--dir', lab.folder],
    { stdio: 'ignore' },
  );
  lab.children.push(server);
  await until('redis answers', () => {
    try {
      return (
        execFileSync('redis-cli', ['-s', path, 'PING'], {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        }).trim() === 'PONG'
      );
    } catch {
      return false;
    }
  });
  await fill(path, ENTRIES);
  const config = lab.config({ redis: { url: `unix://${path}` } });
  const lines = ['create probe hash:net timeout 0 maxelem 2000000'];
  for (let i = 0; i < ENTRIES; i++) lines.push(`add probe ${address(i)} timeout 86400`);
  writeFileSync(`${lab.folder}/restore.txt`, `${lines.join('\n')}\n`);

  const walk = async () => {
    const redis = new Redis({ path });
    await redis.ping();
    const began = performance.now();
    let cursor = '0';
    do {
      [cursor] = await redis.eval(WALK, 0, cursor);
    } while (cursor !== '0');
    redis.disconnect();
    return performance.now() - began;
  };
  const restore = () => {
    const began = performance.now();
    lab.run(lab.server, 'ipset', 'restore', '-file', `${lab.folder}/restore.txt`);
    const took = performance.now() - began;
    lab.run(lab.server, 'ipset', 'destroy', 'probe');
    return took;
  };
  const start = async () => {
    const began = performance.now();
    const child = lab.begin(lab.server, process.execPath, [
      lab.program,
      'run',
      '--config',
      config,
      '--on-stop',
      'remove',
    ]);
    child.stdout.resume();
    // The kernel is asked, not the daemon: `ipset list -t` counts the elements.
    await until(
      'the kernel is complete',
      () => {
        try {
          return (
            Number(
              /Number of entries: (\d+)/.exec(
                lab.run(lab.server, 'sh', '-c', 'ipset list -t barricata4 2>/dev/null || true'),
              )?.[1],
            ) === ENTRIES
          );
        } catch {
          return false;
        }
      },
      30_000,
      // Each look starts three processes: more often, it would take the processor from what it measures.
      25,
    );
    const took = performance.now() - began;
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
    return took;
  };
  const rows = [];
  for (let i = 0; i < REPEATS; i++) rows.push({ walk: await walk(), restore: restore(), start: await start() });
  const column = (name) => rows.map((row) => row[name]);
  const budget = rows.map((row) => row.start / (row.walk + row.restore + 700));
  console.log(`${ENTRIES} entries, ${REPEATS} rounds, median [range], ms`);
  console.log(`floor: one Redis walk        ${spread(column('walk'), 0)}`);
  console.log(`floor: one ipset restore     ${spread(column('restore'), 0)}`);
  console.log(`barricata: start to complete ${spread(column('start'), 0)}`);
  console.log(`share of the allowed time (walk + restore + 700 ms): ${spread(budget)}; reach: at most 1`);
  if (quantile(budget, 0.5) > 1) process.exitCode = 1;
} finally {
  await lab.clear();
}
