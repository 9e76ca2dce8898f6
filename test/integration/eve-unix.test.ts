/** Eve records over a unix socket: Suricata connects, we read. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { EveSourceOptions } from '../../src/suricata/eve-source.js';
import { EveSource } from '../../src/suricata/eve-source.js';
import {
  alertLine,
  alertLines,
  flowLine,
  numbers,
  Reading,
  removeTemporaryDirectories,
  temporaryDirectory,
} from '../support/eve.js';
import { waitFor } from '../support/netns.js';

const stops: (() => unknown)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  removeTemporaryDirectories();
});

/** A source that listens on `path`, started and listening. */
async function listening(path: string, options: Partial<EveSourceOptions> = {}): Promise<Reading> {
  const r = new Reading([], { entries: [`unix://${path}`], ...options });
  stops.push(() => r.source.stop());
  await r.source.start();
  await waitFor('it listens', () => status(r).opened);
  return r;
}

const status = (r: Reading) => {
  const [first] = r.source.status().paths;
  if (first === undefined) throw new Error('no source');
  return first;
};

async function connected(path: string): Promise<Socket> {
  const socket = connect(path);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  stops.push(() => socket.destroy());
  return socket;
}

const newPath = () => `${temporaryDirectory()}/eve.sock`;

describe('a unix socket', () => {
  it('takes alerts among other records from several connections, cut anywhere', async () => {
    const path = newPath();
    const r = await listening(path);
    const [one, two] = [await connected(path), await connected(path)];
    const text = Buffer.from(
      numbers(60)
        .flatMap((n) => [flowLine(n), alertLine(n, { url: 'crème 漢 😀' })])
        .join(''),
    );
    for (let i = 0; i < text.length; i += 997) one.write(text.subarray(i, i + 997));
    two.write(alertLines(60, 100).replaceAll('\n', '\r\n'));
    expect(await r.got(100)).toEqual(numbers(100));
    expect(status(r)).toMatchObject({ source: `unix://${path}`, lines: 160, alerts: 100, unusable: {}, lagSeconds: 0 });
    expect(status(r).events).toMatchObject({ connected: 2, bytes: text.length + alertLines(60, 100).length + 40 });
    expect(r.batches.every((batch) => batch.position === null && batch.source === `unix://${path}`)).toBe(true);
    one.end();
    await waitFor('the end is noticed', () => status(r).events['disconnected'] === 1);
  });

  it('reads a line of 2.4 MB, passes over one that is longer than the longest, and reads on', async () => {
    const path = newPath();
    const r = await listening(path, { longestLine: 3 << 20 });
    const socket = await connected(path);
    socket.write(alertLine(0, { dnp3: 'x'.repeat(2_400_000) }));
    socket.write(alertLine(7, { dnp3: 'x'.repeat(9_000_000) }) + alertLine(1));
    expect(await r.got(2)).toEqual([0, 1]);
    expect(status(r)).toMatchObject({ lines: 3, unusable: { too_long: 1 } });
  });

  it('counts a line that was cut by the end of its connection', async () => {
    const path = newPath();
    const r = await listening(path);
    (await connected(path)).end(alertLine(0) + alertLine(1).slice(0, 100));
    await waitFor('it is counted', () => status(r).unusable['truncated'] === 1);
    expect(status(r).events).toMatchObject({ cut_line: 1 });
    expect(r.seen).toEqual([0]);
  });

  it('names the fix when records are spread over several lines', async () => {
    const path = newPath();
    const r = await listening(path);
    (await connected(path)).write(`${JSON.stringify(JSON.parse(alertLine(0)), null, 2)}\n${alertLine(1)}`);
    expect(await r.got(1)).toEqual([1]);
    expect(r.source.status().problems.map(({ problem }) => problem)).toEqual([expect.stringContaining('jq -c')]);
  });

  it('stops reading while alerts are being stored, and goes on where it was', async () => {
    const path = newPath();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const r: Reading = await listening(path, {
      onBatch: async (batch) => {
        await held;
        r.take(batch);
      },
    });
    const socket = await connected(path);
    const text = alertLines(0, 20_000);
    socket.write(text);
    await waitFor('the writer has to wait', () => socket.writableLength > 0 && (status(r).events['bytes'] ?? 0) > 0);
    await waitFor('the lag grows', () => status(r).lagSeconds > 0.1);
    expect(status(r).events['bytes']).toBeLessThan(1 << 20);
    release();
    expect(await r.got(20_000)).toEqual(numbers(20_000));
    expect(status(r).lagSeconds).toBe(0);
  });

  it('gives the same batch again until it is stored', async () => {
    const path = newPath();
    let failures = 0;
    const r: Reading = await listening(path, {
      onBatch: async (batch) => {
        failures += 1;
        if (failures < 3) throw new Error('store is away');
        r.take(batch);
      },
    });
    (await connected(path)).write(alertLines(0, 5));
    expect(await r.got(5)).toEqual(numbers(5));
    expect(failures).toBe(3);
  });

  it('says that nobody is connected, and how Suricata is told', async () => {
    const path = newPath();
    const r = await listening(path);
    expect(r.source.status().problems.map(({ problem }) => problem)).toEqual([
      expect.stringContaining('filetype: unix_stream'),
    ]);
    await connected(path);
    await waitFor('the hint goes', () => r.source.status().problems.length === 0);
  });
});

describe('the socket itself', () => {
  const server = async (path: string): Promise<Server> => {
    const made = createServer();
    await new Promise<void>((resolve) => made.listen(path, resolve));
    stops.push(() => made.close());
    return made;
  };

  it('may be connected to by its group and nobody else', async () => {
    const path = newPath();
    await listening(path, { socketGroup: async () => 12 });
    expect((statSync(path).mode & 0o777).toString(8)).toBe('660');
    expect(statSync(path).gid).toBe(12);
  });

  it('replaces one that a killed process left', async () => {
    const path = newPath();
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
    const child: ChildProcess = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(existsSync(path)).toBe(true);
    const r = await listening(path);
    (await connected(path)).write(alertLine(0));
    expect(await r.got(1)).toEqual([0]);
  });

  it('never takes one that another program listens on, and takes it when that is gone', async () => {
    const path = newPath();
    const other = await server(path);
    const { ino } = lstatSync(path);
    const r = new Reading([], { entries: [`unix://${path}`] });
    stops.push(() => r.source.stop());
    await r.source.start();
    await waitFor('it says so', () => status(r).problem?.includes('another program listens'));
    expect(status(r).opened).toBe(false);
    expect(lstatSync(path).ino).toBe(ino);
    other.close();
    await waitFor('it listens', () => status(r).opened);
    expect(status(r).problem).toBeNull();
  });

  it('never replaces a file', async () => {
    const path = newPath();
    writeFileSync(path, 'precious');
    const r = new Reading([], { entries: [`unix://${path}`] });
    stops.push(() => r.source.stop());
    await r.source.start();
    await waitFor('it says so', () => status(r).problem?.includes('is not a socket'));
    expect(lstatSync(path).isFile()).toBe(true);
  });

  it('waits for its directory', async () => {
    const path = `${temporaryDirectory()}/later/eve.sock`;
    const r = new Reading([], { entries: [`unix://${path}`] });
    stops.push(() => r.source.stop());
    await r.source.start();
    await waitFor('it says so', () => status(r).problem?.includes('make its directory'));
    mkdirSync(path.replace('/eve.sock', ''));
    await waitFor('it listens', () => status(r).opened);
  });

  it('is made again when somebody deletes it, and connections go on', async () => {
    const path = newPath();
    const r = await listening(path);
    const before = await connected(path);
    before.write(alertLine(0));
    await r.got(1);
    rmSync(path);
    await waitFor('it is back', () => existsSync(path));
    before.write(alertLine(1));
    (await connected(path)).write(alertLine(2));
    expect(await r.got(3)).toEqual([0, 1, 2]);
  });

  it('goes with its source, and takes nobody else away', async () => {
    const path = newPath();
    const r = await listening(path);
    await connected(path);
    await r.source.stop();
    expect(existsSync(path)).toBe(false);
    const again = await listening(path);
    rmSync(path);
    await server(path);
    await again.source.stop();
    expect(existsSync(path)).toBe(true);
  });

  it('is refused as an entry when it is none', () => {
    const options = { globs: ['unix://relative'] } as unknown as EveSourceOptions;
    expect(() => new EveSource({ ...options, log: undefined as never })).toThrow('is no source of eve records');
  });
});
