/** A real Suricata in the private namespace of the test file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from './netns.js';

export class Suricata {
  #child: ChildProcess | null = null;
  readonly #folder: string;
  readonly #interfaces: readonly string[];
  #log = '';

  /** @param folder eve.json is written there */
  constructor(folder: string, interfaces: readonly string[], rules: string) {
    this.#folder = folder;
    this.#interfaces = interfaces;
    writeFileSync(join(folder, 'test.rules'), rules);
  }

  async start(): Promise<void> {
    const yaml = fileURLToPath(new URL('../../deploy/demo/suricata.yaml', import.meta.url));
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
