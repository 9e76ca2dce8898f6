/** Putting a configuration in place, with a daemon that answers what a real one seldom does. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { baseOf } from '../../src/cli/policy/base.js';
import { type Installed, install } from '../../src/cli/policy/install.js';
import { placeIn } from '../../src/cli/running.js';
import { parseConfig } from '../../src/config/load.js';
import { type ControlRoute, ControlServer } from '../../src/daemon/control.js';
import { PolicyVersions } from '../../src/daemon/policy-versions.js';
import type { Reloaded } from '../../src/daemon/reload.js';

let folder: string;
let file: string;
let server: ControlServer | null;

const text = (comment: string, more = '') => `# ${comment}\nstate: ${folder}/state\nrun: ${folder}/run\n${more}`;
const config = () => readFileSync(file, 'utf8');
const versions = () => new PolicyVersions(`${folder}/state`);
const author = { by: 'analyst1', reason: 'test', ticket: 'INC-1' };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'barricata-install-'));
  file = join(folder, 'barricata.yaml');
  mkdirSync(join(folder, 'run'));
  writeFileSync(file, text('old'), { mode: 0o600 });
  server = null;
});
afterEach(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true });
});

/** Answers in the place of a daemon that runs what is installed. */
async function daemon(reload: ControlRoute): Promise<void> {
  const { policyVersion } = parseConfig(config(), file);
  const kept = await versions().keep({
    version: policyVersion,
    at: '',
    by: null,
    reason: null,
    ticket: null,
    restores: null,
    inForce: true,
    text: config(),
  });
  server = new ControlServer(`${folder}/run/control.sock`, {
    '/config': () => ({ file, state: `${folder}/state`, version: policyVersion, kept: kept.number }),
    '/reload': reload,
  });
  await server.start();
}

async function installs(wanted: string, before?: () => void): Promise<Installed> {
  const base = await baseOf({ config: file }, wanted);
  before?.();
  return install(base, { text: wanted, config: parseConfig(wanted, file), author, restores: null });
}
const taken = (after: string): Reloaded => ({ taken: true, before: '', after, restartNeeded: ['queue'], kept: 2 });

describe('a configuration that is put in place', () => {
  it('is applied when the daemon takes it, and both versions are kept', async () => {
    const wanted = text('new', 'otherwise: flag\n');
    await daemon((query) => {
      expect(Object.fromEntries(query)).toEqual(author);
      return taken(parseConfig(config(), file).policyVersion);
    });
    expect(await installs(wanted)).toEqual({ outcome: 'applied', kept: 2, restartNeeded: ['queue'], problems: [] });
    expect(config()).toBe(wanted);
    expect((await versions().list()).map(({ text: of, by }) => [of, by])).toEqual([
      [wanted, 'analyst1'],
      [text('old'), null],
    ]);
    expect(readdirSync(folder).sort()).toEqual(['barricata.yaml', 'run', 'state']);
  });

  it('is taken back when the daemon refuses it, which is asked once more so that it knows', async () => {
    const read: string[] = [];
    await daemon((): Reloaded => {
      read.push(config());
      return { taken: false, problems: ['line 1: not this one'] };
    });
    expect(await installs(text('new'))).toEqual({
      outcome: 'refused',
      kept: null,
      restartNeeded: [],
      problems: ['line 1: not this one'],
    });
    expect(read).toEqual([text('new'), text('old')]);
    expect(config()).toBe(text('old'));
    expect((await versions().list()).map((version) => version.text)).toEqual([text('old')]);
  });

  it('is only written when the daemon dies before it answers, or reads something else', async () => {
    await daemon(() => taken('0123456789ab'));
    expect(await installs(text('new'))).toMatchObject({
      outcome: 'written',
      problems: [expect.stringContaining('another configuration')],
    });
    await server?.stop();
    server = null;
    expect(await installs(text('newer'))).toMatchObject({ outcome: 'written', problems: [] });
    expect(config()).toBe(text('newer'));
  });

  it('does not replace what somebody else wrote meanwhile', async () => {
    const edit = () => writeFileSync(file, text('by hand'));
    await expect(installs(text('new'), edit)).rejects.toThrow('was changed meanwhile');
    expect(config()).toBe(text('by hand'));
  });

  it('waits for nobody who changes it at the same time', async () => {
    const lock = await versions().lock();
    await expect(installs(text('new'))).rejects.toMatchObject({ kind: 'locked' });
    await lock.release();
    expect((await installs(text('new'))).outcome).toBe('written');
  });

  it('changes nothing where the old one cannot be kept', async () => {
    writeFileSync(join(folder, 'state'), 'a file where the folder should be');
    await expect(installs(text('new'))).rejects.toMatchObject({ kind: 'failed' });
    expect(config()).toBe(text('old'));
  });

  it('keeps the link that leads to it, and who may read it', async () => {
    const link = join(folder, 'link.yaml');
    symlinkSync(file, link);
    const wanted = text('new');
    await install(await baseOf({ config: link }, wanted), {
      text: wanted,
      config: parseConfig(wanted, file),
      author,
      restores: null,
    });
    expect(readFileSync(link, 'utf8')).toBe(wanted);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('is the first one where there was none', async () => {
    rmSync(file);
    expect((await installs(text('new'))).outcome).toBe('written');
    expect(statSync(file).mode & 0o777).toBe(0o640);
  });

  it('is refused for a daemon that reads another file', async () => {
    await daemon(() => ({ taken: false, problems: [] }));
    const other = join(folder, 'other.yaml');
    writeFileSync(other, text('other'));
    await expect(baseOf({ config: other }, null)).rejects.toThrow(`the daemon runs with ${file}: add --config ${file}`);
  });
});

describe('the kept versions', () => {
  const of = (n: number) => ({
    version: '',
    at: '',
    by: null,
    reason: null,
    ticket: null,
    restores: null,
    inForce: true,
    text: `# ${n}`,
  });

  it('are the last ten, numbered on, each text once in a row', async () => {
    for (let n = 1; n <= 13; n++) expect((await versions().keep(of(n))).number).toBe(n);
    expect((await versions().keep(of(13))).number).toBe(13);
    expect((await versions().list()).map(({ number }) => number)).toEqual([13, 12, 11, 10, 9, 8, 7, 6, 5, 4]);
    expect((await versions().keep(of(4))).number).toBe(14);
    expect(statSync(join(folder, 'state/policy/0014.json')).mode & 0o777).toBe(0o600);
  });

  it('are numbered apart when two write at once', async () => {
    const kept = await Promise.all([1, 2, 3, 4].map((n) => versions().keep(of(n))));
    expect(kept.map(({ number }) => number).sort()).toEqual([1, 2, 3, 4]);
  });

  it('forget what a writer that was killed left behind', async () => {
    await versions().keep(of(1));
    const left = join(folder, 'state/policy/.left');
    writeFileSync(left, 'half');
    await versions().keep(of(2));
    expect(existsSync(left)).toBe(true);
    utimesSync(left, 1, 1);
    await versions().keep(of(3));
    expect(existsSync(left)).toBe(false);
  });

  it('are not called none when nobody may look', async () => {
    writeFileSync(`${folder}/state`, 'no directory');
    await expect(versions().list()).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('cannot be read'),
    });
    rmSync(`${folder}/state`);
    expect(await versions().list()).toEqual([]);
  });

  it('leave out a file that is damaged', async () => {
    await versions().keep(of(1));
    await versions().keep(of(2));
    writeFileSync(join(folder, 'state/policy/0001.json'), '{"v":1,');
    expect((await versions().list()).map(({ number }) => number)).toEqual([2]);
  });
});

describe('the place of the daemon', () => {
  it('is found in a file with mistakes', () => {
    expect(placeIn('run: /a\nstate: /b\npolcy: [')).toEqual({ run: '/a', state: '/b' });
    expect(placeIn('run: [1]\nmode: nonsense')).toEqual({ run: '/run/barricata', state: '/var/lib/barricata' });
    expect(placeIn('just text')).toEqual({ run: '/run/barricata', state: '/var/lib/barricata' });
    expect(placeIn('- a\n- b')).toEqual({ run: '/run/barricata', state: '/var/lib/barricata' });
  });
});
