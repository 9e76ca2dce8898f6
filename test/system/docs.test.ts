/** Every command that README and docs show is run, as shown and in that order, against a running Barricata: each answers 0. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Barricata, command } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns } from '../support/netns.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Lines of the fenced `sh` blocks of a document, comments taken off. */
function shellLines(file: string): string[] {
  const text = readFileSync(`${root}${file}`, 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
    (block as string)
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, '').trim())
      .filter(Boolean),
  );
}

/** Words of a line as a shell reads them; the documents use no expansion. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? (m[3] as string));
}

/** What a program that fell over leaves behind. */
const CRASH = /\n\s+at \S|node:internal|Node\.js v/;

const documents = ['README.md', 'docs/redis-cli.md', 'docs/policy.md', 'docs/policy-change.md'];

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the documents', () => {
  let b: Barricata;
  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(() => b?.remove());

  const lines = documents.flatMap((file) => shellLines(file).map((line) => [file, line] as const));

  const commands = lines.filter(([, line]) => line.startsWith('barricata '));

  it('show commands', () => {
    expect(commands.length).toBeGreaterThan(5);
    expect(lines.filter(([, line]) => line.startsWith('redis-cli ')).length).toBeGreaterThan(1);
  });

  it.each(commands)('%s: %s', (_file, line) => {
    const [, ...args] = words(line);
    const answer = b.cli(...args);
    expect({ code: answer.code, err: answer.err }).toEqual({ code: 0, err: expect.not.stringMatching(CRASH) });
    expect(answer.out).not.toMatch(CRASH);
  });

  it.each(commands)('%s: %s, as JSON', (_file, line) => {
    const [, ...args] = words(line);
    const answer = b.cli(...args, '--dry-run', '-o', 'json');
    // Nothing is banned any more when they are through.
    expect({ code: answer.code, err: answer.err }).toMatchObject({
      code: args[0] === 'unban' || args[0] === 'why' ? 1 : 0,
    });
    expect(answer.err).not.toMatch(CRASH);
    expect(answer.json()).toEqual(expect.any(Object));
  });

  it.each(lines.filter(([, line]) => line.startsWith('redis-cli ')))('%s: %s', (_file, line) => {
    const [, ...args] = words(line.replaceAll('/run/barricata/redis.sock', b.socket));
    const answer = command('redis-cli', args.length === 2 ? [...args, 'PING'] : args);
    expect(answer.code).toBe(0);
    expect(answer.out).not.toMatch(/^\(error\)|^ERR|^WRONG/);
  });

  it('show npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
    const npm = lines.map(([, line]) => words(line.replace(/^sudo /, ''))).filter(([program]) => program === 'npm');
    expect(npm.length).toBeGreaterThan(3);
    for (const [, verb, name] of npm) expect(Object.keys(scripts)).toContain(verb === 'run' ? name : verb);
  });
});
