/**
 * A test that needs a kernel feature names it. Where the feature is missing the
 * test is skipped with that name; under CI=true a skip that is not listed in
 * `test/expected-skips.txt` is a failure.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const PROBES: Record<string, () => boolean> = {
  root: () => process.getuid?.() === 0,
  conntrack: () => works('unshare', '-n', 'conntrack', '-C'),
  nfqueue: () => existsSync('/proc/net/netfilter/nfnetlink_queue') || works('modprobe', 'nfnetlink_queue'),
  'iptables-nft': () => works('iptables-nft', '--version'),
  'iptables-legacy': () => works('unshare', '-n', 'iptables-legacy', '-t', 'raw', '-S'),
  'redis-server': () => works('redis-server', '--version'),
  ipset: () => works('unshare', '-n', 'ipset', 'list', '-n'),
  suricata: () => works('suricata', '-V'),
  hping3: () => works('hping3', '--version'),
  nmap: () => works('nmap', '--version'),
  'two processors': () => works('taskset', '-c', '0,1', 'true') && availableParallelism() > 1,
  wrk: () => works('sh', '-c', 'command -v wrk'),
};

function works(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const expected = new URL('../expected-skips.txt', import.meta.url);

/** Whether every named feature is there. `describe.skipIf(!hasFeatures('nfqueue'))`. */
export function hasFeatures(...names: string[]): boolean {
  const missing = names.filter((name) => {
    const probe = PROBES[name];
    if (!probe) throw new Error(`no probe for feature "${name}"`);
    return !probe();
  });
  if (missing.length === 0) return true;
  if (process.env['CI'] === 'true') {
    const allowed = readFileSync(expected, 'utf8')
      .split('\n')
      .map((line) => line.replace(/#.*/, '').trim());
    const unexpected = missing.filter((name) => !allowed.includes(name));
    if (unexpected.length > 0)
      throw new Error(`missing here and not in test/expected-skips.txt: ${unexpected.join(', ')}`);
  }
  console.log(`skipped: this machine lacks ${missing.join(', ')}`);
  return false;
}
