/**
 * A real Barricata, the compiled program, in the private namespace of the test
 * file, with its files in a folder of its own.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, waitFor } from './netns.js';

export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Standard output as JSON. */
  json<T>(): T;
}

export interface StartOptions {
  /** Wait until `status` says that it is complete; true when left out. */
  readonly wait?: boolean;
  readonly args?: readonly string[];
  /** A program and its arguments that become the daemon, such as `setpriv --reuid=nobody`. */
  readonly through?: readonly string[];
}

export class Barricata {
  readonly folder: string;
  readonly config: string;
  readonly eve: string;
  readonly socket: string;
  #child: ChildProcess | null = null;
  get #logFile(): string {
    return join(this.folder, 'log');
  }

  constructor(changes: Record<string, unknown> = {}) {
    if (!existsSync(program)) throw new Error('dist/ is missing: npm run build');
    this.folder = mkdtempSync(join(tmpdir(), 'barricata-test-'));
    this.config = join(this.folder, 'barricata.yaml');
    this.eve = join(this.folder, 'eve.json');
    this.socket = join(this.folder, 'run/redis.sock');
    mkdirSync(join(this.folder, 'run'));
    this.configure(changes);
  }

  /** JSON is YAML 1.2, so the file is written as JSON. */
  configure(changes: Record<string, unknown>): void {
    const settings = {
      host: 'testhost',
      state: join(this.folder, 'state'),
      run: join(this.folder, 'run'),
      home: ['192.168.50.0/24', '2001:db8:50::/48'],
      suricata: { eve: [this.eve] },
      policy: [
        {
          name: 'web exploitation',
          when: { category: 'Web Application Attack', severity: 1, from: 'outside', proven: true },
          then: 'ban 1h',
        },
      ],
      ...changes,
    };
    writeFileSync(this.config, JSON.stringify(settings, null, 1));
  }

  /** What it printed, all starts together; the end of it when that is long. */
  get log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8').slice(-200_000) : '';
  }
  get pid(): number {
    return this.#child?.pid ?? 0;
  }
  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts and, unless told otherwise, waits until `status` says that it is complete. */
  async start(options: StartOptions = {}): Promise<void> {
    const args = [program, 'run', '--config', this.config, ...(options.args ?? ['--on-stop', 'remove'])];
    const [file, ...rest] = [...(options.through ?? []), process.execPath, ...args];
    // To a file: a pipe that nobody empties, while this process waits for a command, would hold the daemon up.
    const log = openSync(this.#logFile, 'a');
    const child = spawn(file as string, rest, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    if (options.wait === false) return;
    await waitFor(
      'Barricata is ready',
      () => {
        if (!this.running) throw new Error(`it ended:\n${this.log}`);
        return this.cli('status', '-q').code === 0;
      },
      20_000,
      100,
    ).catch((error) => {
      throw new Error(`${error}\n${this.cli('status', '-o', 'json').out}\n${this.log}`);
    });
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (!child || !this.running) return;
    child.kill(signal);
    await waitFor('the process ends', () => !this.running, 15_000).catch((error) => {
      child.kill('SIGKILL');
      throw new Error(`${error}\n${this.log}`);
    });
  }

  /** Runs the command line; never throws. */
  cli(...args: readonly string[]): Answer {
    return command(process.execPath, [program, ...args, '--config', this.config]);
  }

  redis(...args: readonly string[]): string {
    return run('redis-cli', '-s', this.socket, ...args).trim();
  }

  /** Elements of a kernel set, by `ipset`: address to the rest of its line. */
  elements(set = 'barricata4'): Map<string, string> {
    const lines = run('ipset', 'list', set).split('Members:\n')[1]?.trim().split('\n') ?? [];
    return new Map(lines.filter(Boolean).map((line) => [line.split(' ')[0] as string, line]));
  }

  async remove(): Promise<void> {
    await this.stop('SIGTERM').catch(() => undefined);
    // A private Redis outlives a killed daemon until it is adopted or told to stop.
    try {
      execFileSync('redis-cli', ['-s', this.socket, 'SHUTDOWN', 'NOSAVE'], { stdio: 'ignore' });
    } catch {}
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function command(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Answer {
  let code = 0;
  let out = '';
  let err = '';
  try {
    out = execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env, maxBuffer: 1 << 28 });
  } catch (error) {
    const failed = error as { status: number | null; stdout?: string; stderr?: string };
    code = failed.status ?? -1;
    out = failed.stdout ?? '';
    err = failed.stderr ?? '';
  }
  return { code, out, err, json: () => JSON.parse(out) };
}

let flows = 0;

/** One alert as Suricata 7 writes it, for a request of `src` that was answered. */
export function alertLine(src: string, changes: Record<string, unknown> = {}): string {
  flows += 1;
  const now = new Date().toISOString().replace('Z', '000+0000');
  const dest = src.includes(':') ? '2001:db8:50::10' : '192.168.50.10';
  return `${JSON.stringify({
    timestamp: now,
    flow_id: 1_000_000_000 + flows,
    in_iface: 'v0',
    event_type: 'alert',
    src_ip: src,
    src_port: 40_000,
    dest_ip: dest,
    dest_port: 80,
    proto: 'TCP',
    pkt_src: 'wire/pcap',
    alert: {
      action: 'allowed',
      gid: 1,
      signature_id: 9_000_001,
      rev: 1,
      signature: 'TEST web attack',
      category: 'Web Application Attack',
      severity: 1,
    },
    http: { hostname: dest, url: '/etc/passwd', http_method: 'GET' },
    app_proto: 'http',
    direction: 'to_server',
    flow: {
      pkts_toserver: 4,
      pkts_toclient: 3,
      bytes_toserver: 366,
      bytes_toclient: 331,
      start: now,
      src_ip: src,
      dest_ip: dest,
      src_port: 40_000,
      dest_port: 80,
    },
    ...changes,
  })}\n`;
}
