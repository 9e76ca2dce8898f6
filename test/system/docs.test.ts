/** Every command that README and docs show is run, as shown and in that order, against a running Barricata: each answers 0. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.js';
import { Barricata, command } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns } from '../support/netns.js';
import { suricataYaml } from '../support/suricata.js';

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

const documents = [
  // Before README, which leaves learning begun.
  'docs/learn.md',
  'README.md',
  'docs/redis-cli.md',
  'docs/policy.md',
  'docs/policy-change.md',
  'docs/rules.md',
  'docs/history.md',
  'docs/replay.md',
];

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
    const [, ...args] = words(line.replaceAll('/var/log/suricata/eve.json', b.eve));
    const answer = b.cli(...args);
    expect({ code: answer.code, err: answer.err }).toEqual({ code: 0, err: expect.not.stringMatching(CRASH) });
    expect(answer.out).not.toMatch(CRASH);
  });

  it.each(commands)('%s: %s, as JSON', (_file, line) => {
    const [, ...args] = words(line.replaceAll('/var/log/suricata/eve.json', b.eve));
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

describe('docs/eve-sources.md', () => {
  const text = readFileSync(`${root}docs/eve-sources.md`, 'utf8');
  const blocks = [...text.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, block]) => block as string);
  const outputs = blocks.filter((block) => block.startsWith('outputs:'));
  const named = outputs.map((block) => {
    const word = (key: string) => new RegExp(`^ +${key}: (\\S+)$`, 'm').exec(block)?.[1];
    return [word('mode') ?? word('filetype'), block] as const;
  });

  it('shows entries that the configuration takes, and the output of Suricata for each kind', () => {
    const [entries] = blocks.filter((block) => block.startsWith('suricata:'));
    expect(parseConfig(entries as string, 'x').suricata.eve).toHaveLength(4);
    expect(named.map(([name]) => name)).toEqual(['regular', 'unix_stream', 'list', 'stream']);
  });

  describe.skipIf(!hasFeatures('suricata'))('for Suricata', () => {
    const major = Number(/version (\d+)/.exec(command('suricata', ['-V']).out)?.[1]);

    it.each(named)('shows %s as it takes it', (name, block) => {
      const folder = mkdtempSync(`${tmpdir()}/barricata-docs-`);
      try {
        writeFileSync(`${folder}/suricata.yaml`, suricataYaml(block));
        writeFileSync(`${folder}/x.rules`, '');
        const test = ['-T', '-c', `${folder}/suricata.yaml`, '-S', `${folder}/x.rules`, '-l', folder];
        const { code, err, out } = command('suricata', test);
        // As the text says: version 7 does not know streams.
        if (name === 'stream' && major < 8) expect(`${out}${err}`).toContain('Invalid redis mode');
        else expect({ code, err }).toMatchObject({ code: 0 });
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  });
});
