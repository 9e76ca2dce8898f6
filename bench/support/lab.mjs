// Two hosts in namespaces of their own for benchmarks that need packets and a
// running daemon. Everything is removed by `clear`.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** The server's address, and the network that attackers' addresses are taken from. */
export const SERVER = '192.168.50.10';
export const SOURCES = '203.0.112.0/20';

export class Lab {
  program = program;

  constructor(label) {
    this.server = `bqbench${process.pid}-${label}`;
    this.attacker = `${this.server}-a`;
    this.folder = mkdtempSync(join(tmpdir(), 'barricata-bench-'));
    this.children = [];
    // Interrupted benchmarks leave nothing behind either.
    for (const signal of ['SIGINT', 'SIGTERM'])
      process.once(signal, () => void this.clear().finally(() => process.exit(1)));
    const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    for (const name of [this.server, this.attacker]) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('-n', this.server, 'link', 'add', 'bq0', 'type', 'veth', 'peer', 'name', 'bq0', 'netns', this.attacker);
    ip('-n', this.server, 'link', 'set', 'bq0', 'up');
    ip('-n', this.attacker, 'link', 'set', 'bq0', 'up');
    ip('-n', this.server, 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    ip('-n', this.server, 'address', 'add', '10.255.0.1/30', 'dev', 'bq0');
    ip('-n', this.attacker, 'address', 'add', '10.255.0.2/30', 'dev', 'bq0');
    ip('-n', this.attacker, 'route', 'add', SERVER, 'via', '10.255.0.1');
    ip('-n', this.server, 'route', 'add', SOURCES, 'via', '10.255.0.2');
    // Any address of the network can be bound without being configured.
    ip('-n', this.attacker, 'route', 'add', 'local', SOURCES, 'dev', 'lo');
    // The probe counts ICMP port-unreachable answers, which the kernel would otherwise ration.
    this.run(
      this.server,
      'sysctl',
      '-qw',
      'net.ipv4.icmp_ratelimit=0',
      'net.ipv4.icmp_msgs_per_sec=100000000',
      'net.ipv4.icmp_msgs_burst=1000000',
    );
  }

  run(host, command, ...args) {
    return execFileSync('ip', ['netns', 'exec', host, command, ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  /** The same without holding up the reading of what children print. */
  async runAside(host, command, ...args) {
    const child = spawn('ip', ['netns', 'exec', host, command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.children.push(child);
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    const code = await new Promise((resolve) => child.once('exit', resolve));
    if (code !== 0) throw new Error(`${command} ended with ${code}`);
    return out;
  }

  begin(host, command, args, options = {}) {
    const child = spawn('ip', ['netns', 'exec', host, command, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      ...options,
    });
    this.children.push(child);
    return child;
  }

  /** A configuration with limits out of the way, so that speed is measured and not restraint. */
  config(changes = {}) {
    const run = join(this.folder, 'run');
    mkdirSync(run, { recursive: true });
    const file = join(this.folder, 'barricata.yaml');
    const values = {
      host: 'bench',
      state: join(this.folder, 'state'),
      run,
      home: ['192.168.0.0/16', '10.0.0.0/8'],
      suricata: { eve: [join(this.folder, 'eve.json')] },
      policy: [{ name: 'bench', when: { from: 'outside', proven: true }, then: 'ban 1h' }],
      limits: { new_bans_per_minute: 1000000, total_bans: 2000000 },
      ...changes,
    };
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(values));
    return file;
  }

  /** Starts the daemon and waits for `status` to say that it is complete; gives the child and the milliseconds it took. */
  async daemon(configFile, deadlineMs = 60_000) {
    const began = performance.now();
    const child = this.begin(this.server, process.execPath, [
      program,
      'run',
      '--config',
      configFile,
      '--on-stop',
      'remove',
    ]);
    let log = '';
    child.stdout.on('data', (chunk) => {
      log = (log + chunk).slice(-20_000);
    });
    await until(
      'the daemon is complete',
      () => {
        if (child.exitCode !== null) throw new Error(`the daemon ended:\n${log}`);
        try {
          this.run(this.server, process.execPath, program, 'status', '--config', configFile, '-q');
          return true;
        } catch {
          return false;
        }
      },
      deadlineMs,
    );
    return { child, ms: performance.now() - began };
  }

  /** What `status` says of a running daemon. */
  status(configFile) {
    return JSON.parse(this.run(this.server, process.execPath, program, 'status', '-o', 'json', '--config', configFile));
  }

  /** Ends one child and waits for its end. */
  async end(child) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }

  /** Starts the packet generator of bench/floor in the attacker's namespace; `done` gives what was sent. */
  flood(program, args) {
    const links = JSON.parse(this.run(this.server, 'ip', '-j', 'link', 'show', 'bq0'));
    const child = this.begin(this.attacker, program, ['-i', 'bq0', '-m', links[0].address, '-d', SERVER, ...args]);
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    const done = new Promise((resolve, reject) => {
      child.once('close', (code) => (code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`flood: ${code}`))));
    });
    return { child, done };
  }

  async clear() {
    for (const child of this.children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGTERM');
      await Promise.race([new Promise((r) => child.once('exit', r)), new Promise((r) => setTimeout(r, 10_000))]);
      child.kill('SIGKILL');
    }
    for (const name of [this.server, this.attacker]) execFileSync('ip', ['netns', 'delete', name]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function until(what, condition, deadlineMs = 30_000, everyMs = 20) {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

/** `median [least-most]` */
export function spread(values, digits = 2) {
  return `${quantile(values, 0.5).toFixed(digits)} [${Math.min(...values).toFixed(digits)}-${Math.max(...values).toFixed(digits)}]`;
}

/** User and system CPU seconds of a process and of those among its children that have not ended. */
export function cpuSeconds(pid) {
  const ticks = (p) => {
    const fields = readFileSync(`/proc/${p}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]);
  };
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return [pid, ...children].reduce((sum, p) => sum + ticks(p), 0) / 100;
}

/** CPU nanoseconds of all threads of a process that have not ended, kernel work for them included. */
export function cpuNanoseconds(pid) {
  let sum = 0;
  for (const task of readdirSync(`/proc/${pid}/task`))
    sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  return sum;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Resident memory of a process in MB. */
export function rssMegabytes(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
