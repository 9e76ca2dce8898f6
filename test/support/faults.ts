/** What the tests of failures share: a status as JSON, the kernel beside Redis, tools that are missing. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { DaemonStatus } from '../../src/daemon/status.js';
import type { Barricata } from './daemon.js';
import { run, waitFor } from './netns.js';

/** What `barricata status -o json` prints, asked of the control socket itself because tests ask often. */
export function statusOf(b: Barricata): DaemonStatus {
  const socket = `${b.folder}/run/control.sock`;
  return JSON.parse(run('curl', '-s', '--max-time', '10', '--unix-socket', socket, 'http://control/status'));
}

/** Addresses of the `ban` and `local` keys in Redis, sorted. */
export function inRedis(b: Barricata): string[] {
  const keys = [...b.redis('--scan', '--pattern', 'barricata:ban:*').split('\n')]
    .concat(b.redis('--scan', '--pattern', 'barricata:local:testhost:*').split('\n'))
    .filter(Boolean);
  return [...new Set(keys.map((key) => key.replace(/^barricata:(ban|local:testhost):/, '')))].sort();
}

/** Addresses of the two ban sets, sorted. */
export function inKernel(b: Barricata): string[] {
  return [...b.elements('barricata4').keys(), ...b.elements('barricata6').keys()].sort();
}

/** Seconds that an element has left; `undefined` when it is not in the set, 0 when it stays for good. */
export function kernelTimeout(b: Barricata, address: string): number | undefined {
  const line = b.elements().get(address);
  return line === undefined ? undefined : Number(/timeout (\d+)/.exec(line)?.[1] ?? 0);
}

/** How often the journal has this act for each address. */
export function journaled(b: Barricata, act: string): Map<string, number> {
  const counts = new Map<string, number>();
  const words = b.redis('XRANGE', 'barricata:journal', '-', '+').split('\n');
  let fields: Record<string, string> = {};
  const entry = () => {
    const { address } = fields;
    if (fields['act'] === act && address !== undefined) counts.set(address, (counts.get(address) ?? 0) + 1);
    fields = {};
  };
  for (let i = 0; i < words.length; ) {
    if (/^\d+-\d+$/.test(words[i] as string)) {
      entry();
      i += 1;
    } else {
      fields[words[i] as string] = words[i + 1] ?? '';
      i += 2;
    }
  }
  entry();
  return counts;
}

export function isBanned(b: Barricata, address: string, deadlineMs = 5000): Promise<unknown> {
  return waitFor(`${address} is in the kernel`, () => inKernel(b).includes(address), deadlineMs);
}

export function isNotBanned(b: Barricata, address: string, deadlineMs = 5000): Promise<unknown> {
  return waitFor(`${address} is not in the kernel`, () => !inKernel(b).includes(address), deadlineMs);
}

/** The ids of running redis-server processes of this Barricata: the server's title is its socket. */
export function redisServers(b: Barricata): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const title = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return /^\S*redis-server/.test(title) && title.includes(b.folder);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/**
 * A command to start the daemon through, by which it runs where these programs
 * do not exist: a mount namespace with copies of the folders of programs.
 */
export function without(b: Barricata, ...programs: string[]): string[] {
  const script = [
    'set -e',
    'gone=$1 store=$2; shift 2',
    'for dir in /usr/sbin /usr/bin /usr/local/sbin /usr/local/bin; do',
    '  found=0; for name in $gone; do if [ -e "$dir/$name" ]; then found=1; fi; done',
    '  if [ $found = 0 ]; then continue; fi',
    '  copy="$store$dir"; mkdir -p "$copy.all" "$copy"',
    '  mount --bind "$dir" "$copy.all"',
    '  cp -rs "$copy.all/." "$copy/"',
    '  for name in $gone; do rm -f "$copy/$name"; done',
    '  mount --bind "$copy" "$dir"',
    'done',
    'exec "$@"',
  ].join('\n');
  return ['unshare', '-m', 'sh', '-c', script, 'sh', programs.join(' '), `${b.folder}/programs`];
}

/**
 * A command to start the daemon through, by which its packet worker is one of
 * test/fixtures/queue, and SIGUSR2 keeps its main thread busy for five seconds.
 */
export function withWorker(b: Barricata, worker?: string): string[] {
  const url = worker && new URL(`../fixtures/queue/${worker}`, import.meta.url).href;
  const text = [
    "process.on('SIGUSR2', () => { const end = Date.now() + 5000; while (Date.now() < end); });",
    "const threads = require('node:worker_threads');",
    `const other = ${JSON.stringify(url ?? null)};`,
    'threads.Worker = class extends threads.Worker {',
    "  constructor(url, options) { super(other && String(url).endsWith('queue-worker.js') ? new URL(other) : url, options); }",
    '};',
    "require('node:module').syncBuiltinESMExports();",
  ].join('\n');
  writeFileSync(`${b.folder}/worker.cjs`, text);
  return ['env', `NODE_OPTIONS=--require=${b.folder}/worker.cjs`];
}
