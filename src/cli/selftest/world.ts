/**
 * cli/selftest: attacks a Barricata of this build in a throw-away world of three
 * network namespaces. `world` makes them and takes them away, `subject` runs the
 * daemon in the middle one, `trials` says which attack belongs to which
 * detector, `score` judges what came of each.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../base/errors.js';
import { CommandExit, EXIT } from '../output.js';

const execute = promisify(execFile);

/** Addresses of the world; everything in the server's network is one machine. */
export const SERVER = '10.66.0.10';
export const SERVER_NET = '10.66.0.0/16';
export const CLIENT = '198.51.100.7';
export const PORT = 80;
/** Attackers come from here, a new one for each attack. */
export const attackerOf = (trial: number): string => `203.0.113.${129 + (trial % 120)}`;

/** Large enough for any IP packet. */
const MTU = '65535';

/** A program inside a namespace that is spoken to line by line. */
export class Actor {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];
  #said = '';
  #ended = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout) createInterface({ input: child.stdout }).on('line', (line) => this.#waiting.shift()?.(line));
    child.stderr?.on('data', (data) => {
      this.#said = `${this.#said}${data}`.slice(-2000);
    });
    child.on('error', (error) => {
      this.#said = error.message;
    });
    child.on('exit', () => {
      this.#ended = true;
      for (const waiting of this.#waiting.splice(0)) waiting('');
    });
    child.stdin?.on('error', () => undefined);
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** The next line that it says. */
  async hears(): Promise<string> {
    const line = this.#ended ? '' : await new Promise<string>((resolve) => this.#waiting.push(resolve));
    if (line === '') throw new CommandExit(EXIT.unreachable, `a part of the self-test ended: ${this.#said.trim()}`);
    return line;
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}

export class World {
  readonly #made: string[] = [];
  readonly #actors: Actor[] = [];
  readonly attacker: string;
  readonly server: string;
  readonly client: string;
  /** Hardware address that an attacker sends to. */
  gateway = '';

  constructor(id = process.pid) {
    this.attacker = `barricata-attacker-${id}`;
    this.server = `barricata-server-${id}`;
    this.client = `barricata-client-${id}`;
  }

  /** @throws CommandExit when a namespace cannot be made */
  async make(): Promise<void> {
    try {
      for (const name of [this.server, this.attacker, this.client]) {
        await execute('ip', ['netns', 'add', name]);
        this.#made.push(name);
        await this.run(name, 'ip', 'link', 'set', 'lo', 'up');
      }
      await this.#join('atk', this.attacker, '203.0.113.1/24', '203.0.113.66/24');
      await this.#join('cli', this.client, '198.51.100.1/24', `${CLIENT}/24`);
      const { server, attacker } = this;
      // One machine answers for the whole network, and one attacker for all attackers.
      await this.run(server, 'ip', 'route', 'add', 'local', SERVER_NET, 'dev', 'lo');
      await this.run(attacker, 'ip', 'route', 'add', 'local', '203.0.113.128/25', 'dev', 'lo');
      // Answers to forged sources leave by the attacker's wire; forged ones come in at all.
      await this.run(server, 'ip', 'route', 'add', 'default', 'via', '203.0.113.66');
      for (const name of ['all', 'atk', 'default']) {
        await this.run(server, 'sysctl', '-qw', `net.ipv4.conf.${name}.rp_filter=0`);
        await this.run(server, 'sysctl', '-qw', `net.ipv4.conf.${name}.accept_local=1`);
      }
      this.gateway = await this.run(server, 'cat', '/sys/class/net/atk/address');
    } catch (error) {
      const { stderr } = error as { stderr?: string };
      throw new CommandExit(
        EXIT.unreachable,
        `the self-test cannot make its namespaces: ${stderr?.trim() || messageOf(error)}`,
      );
    }
  }

  async run(namespace: string, ...command: string[]): Promise<string> {
    const { stdout } = await execute('ip', ['netns', 'exec', namespace, ...command], { maxBuffer: 2 ** 26 });
    return stdout.trim();
  }

  spawn(
    namespace: string,
    command: string,
    args: readonly string[],
    stdio: 'pipe' | [number | 'ignore', number, number],
  ): ChildProcess {
    // A group of its own: Ctrl-C is for this program, which takes the others down in order.
    return spawn('ip', ['netns', 'exec', namespace, command, ...args], { stdio, detached: true });
  }

  /** Starts an actor and waits until it is ready. */
  async actor(namespace: string, name: 'sender' | 'client' | 'server', ...args: string[]): Promise<Actor> {
    const file = fileURLToPath(new URL(`./actors/${name}.js`, import.meta.url));
    const actor = new Actor(this.spawn(namespace, process.execPath, [file, ...args], 'pipe'));
    this.#actors.push(actor);
    await actor.hears();
    return actor;
  }

  /** Takes everything away; what cannot be taken away is left, and never keeps the rest from going. */
  async remove(): Promise<void> {
    for (const actor of this.#actors.splice(0)) await actor.end();
    for (const name of this.#made.splice(0).reverse()) {
      await execute('ip', ['netns', 'delete', name]).catch(() => undefined);
    }
  }

  async #join(device: string, namespace: string, near: string, far: string): Promise<void> {
    const { server } = this;
    const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace];
    await this.run(server, 'ip', 'link', 'add', device, ...peer);
    await this.run(server, 'ip', 'address', 'add', near, 'dev', device);
    await this.run(namespace, 'ip', 'address', 'add', far, 'dev', 'eth0');
    for (const [name, link] of [
      [server, device],
      [namespace, 'eth0'],
    ] as const) {
      await this.run(name, 'ip', 'link', 'set', link, 'mtu', MTU, 'up');
    }
    await this.run(namespace, 'ip', 'route', 'add', 'default', 'via', near.replace(/\/.*/, ''));
  }
}
