/** A real Suricata in the private namespace of the test file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from './netns.js';

/** The configuration of the demonstration, with other outputs when `outputs` (that key and all under it) is given. */
export function suricataYaml(outputs?: string): string {
  const yaml = readFileSync(fileURLToPath(new URL('../../deploy/demo/suricata.yaml', import.meta.url)), 'utf8');
  return outputs === undefined ? yaml : yaml.replace(/^outputs:\n(?: .*\n)+/m, () => `${outputs.trimEnd()}\n`);
}

export class Suricata {
  #child: ChildProcess | null = null;
  readonly #folder: string;
  readonly #interfaces: readonly string[];
  #log = '';

  /**
   * @param folder eve.json is written there
   * @param outputs as for `suricataYaml`
   */
  constructor(folder: string, interfaces: readonly string[], rules: string, outputs?: string) {
    this.#folder = folder;
    this.#interfaces = interfaces;
    writeFileSync(join(folder, 'test.rules'), rules);
    writeFileSync(join(folder, 'suricata.yaml'), suricataYaml(outputs));
  }

  /** What it printed. */
  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    const yaml = join(this.#folder, 'suricata.yaml');
    const child = spawn(
      'suricata',
      [
        ...['-c', yaml, '-S', join(this.#folder, 'test.rules'), '-l', this.#folder],
        ...['--pidfile', join(this.#folder, 'suricata.pid')],
        ...this.#interfaces.map((name) => `--af-packet=${name}`),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#log += chunk.toString();
      });
    }
    await waitFor(
      'Suricata watches',
      () => {
        if (child.exitCode !== null) throw new Error(`it ended:\n${this.#log}`);
        return this.#log.includes('Engine started');
      },
      60_000,
      50,
    );
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null) return;
    child.kill('SIGTERM');
    await waitFor('Suricata ends', () => child.exitCode !== null || child.signalCode !== null, 15_000);
  }
}
