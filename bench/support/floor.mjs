// The C programs of bench/floor, compiled for one run into a temporary folder.
// Only benchmarks ask for a compiler.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('../floor/', import.meta.url));

/** Compiles the floor and the generator; `null` where there is no compiler. `clear` removes them. */
export function compileFloor() {
  const folder = mkdtempSync(join(tmpdir(), 'barricata-floor-'));
  const clear = () => rmSync(folder, { recursive: true, force: true });
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
  } catch {
    clear();
    return null;
  }
  const compile = (name) => {
    const program = join(folder, name);
    execFileSync('cc', ['-O2', '-o', program, `${sources}${name}.c`], { stdio: ['ignore', 'inherit', 'inherit'] });
    return program;
  };
  return { floor: compile('queue-floor'), flood: compile('flood'), connections: compile('connections'), clear };
}

/** The same for benchmarks that can do nothing without the generator. */
export function compileOrSay() {
  const programs = compileFloor();
  if (programs !== null) return programs;
  console.error('this benchmark needs a C compiler (cc) for its packet generator, and there is none');
  process.exit(1);
}

/**
 * Starts a program that prints `ready` (or a JSON line) when it is, and its counts
 * as JSON when it is told to end.
 *
 * @returns the child, its first line, and `stop`, which gives the counts
 */
export async function startCounting(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const first = await new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    ended.then((code) => reject(new Error(`${command} ended with ${code} before it was ready`)));
  });
  const stop = async () => {
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await ended;
    return JSON.parse(text.trim().split('\n').at(-1));
  };
  return { child, first, stop };
}
