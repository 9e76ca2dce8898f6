/** Starting, stopping and being asked: one daemon for each run directory, and no way to make it fall over. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata, command, program } from '../support/daemon.js';
import { inKernel, isBanned, redisServers, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a daemon', () => {
  let b: Barricata;
  let others: ChildProcess[] = [];

  beforeAll(() => enterPrivateNetns());
  afterEach(async () => {
    if (b.running) process.kill(b.pid, 'SIGCONT');
    for (const other of others) if (other.exitCode === null && other.signalCode === null) other.kill('SIGKILL');
    others = [];
    await b.stop().catch(() => undefined);
    b.cli('cleanup');
    await b.remove();
  });

  const make = (changes: Record<string, unknown> = {}) => {
    b = new Barricata(changes);
    writeFileSync(b.eve, '');
  };
  const control = () => `${b.folder}/run/control.sock`;
  /** Another `barricata run` with the same configuration; what it printed and its exit code, once it has ended. */
  const second = (): { child: ChildProcess; said: () => string } => {
    let text = '';
    const child = spawn(process.execPath, [program, 'run', '--config', b.config], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    others.push(child);
    return { child, said: () => text };
  };
  const nothingLeft = () => {
    expect(run('ipset', 'list', '-n')).toBe('');
    for (const table of ['raw', 'mangle']) expect(run('iptables-save', '-t', table)).not.toContain('BARRICATA');
    expect(redisServers(b)).toEqual([]);
    expect(existsSync(control())).toBe(false);
  };

  it('lives through requests that are no requests', async () => {
    make();
    await b.start();
    for (const path of ['//', '/%', '//[', '/status//', '/kernel?address=%ff']) {
      command('curl', ['-s', '--path-as-is', '--max-time', '5', '--unix-socket', control(), `http://x${path}`]);
    }
    const raw = connect(control());
    raw.on('error', () => undefined);
    raw.end('GET * HTTP/1.1\r\nhost: x\r\n\r\n');
    await waitFor('it answers still', () => statusOf(b).pid === b.pid);
    expect(b.running).toBe(true);
  });

  it('ends although a client sent half a request', async () => {
    make();
    await b.start();
    const half = connect(control());
    half.on('error', () => undefined);
    await new Promise<void>((resolve) => half.write('GET /status HT', () => resolve()));
    statusOf(b);
    const began = performance.now();
    await b.stop();
    expect(performance.now() - began).toBeLessThan(10_000);
    nothingLeft();
  });

  it('that is slow to answer is not taken for none', async () => {
    make();
    await b.start();
    b.redis('SET', 'barricata:ban:198.51.100.1', 'x', 'EX', '600');
    await isBanned(b, '198.51.100.1');
    process.kill(b.pid, 'SIGSTOP');
    for (const verb of ['stop', 'cleanup', 'start', 'status']) {
      const { code, err } = b.cli(verb);
      expect({ verb, code, err }).toEqual({ verb, code: 4, err: expect.stringContaining(`process ${b.pid}`) });
      expect(err).toContain('does not answer');
    }
    const other = second();
    await waitFor('the second ends', () => other.child.exitCode !== null, 10_000);
    expect(other.child.exitCode).toBe(4);
    expect(other.said()).toContain(`already runs here with process id ${b.pid}`);
    expect(inKernel(b)).toEqual(['198.51.100.1']);
    process.kill(b.pid, 'SIGCONT');
    await waitFor('the first answers on its socket', () => statusOf(b).pid === b.pid);
    expect(b.cli('stop').code).toBe(0);
    expect(b.cli('stop').code).toBe(1);
    nothingLeft();
  });

  it('whose socket was deleted is not taken for none', async () => {
    make();
    await b.start();
    run('rm', control());
    for (const verb of ['stop', 'cleanup', 'start']) {
      const { code, err } = b.cli(verb);
      expect({ verb, code, err }).toEqual({ verb, code: 4, err: expect.stringContaining(`kill ${b.pid}`) });
    }
    const other = second();
    await waitFor('the second ends', () => other.child.exitCode !== null, 10_000);
    expect(other.child.exitCode).toBe(4);
    expect(b.running).toBe(true);
  });

  it('is one of two that start at once', async () => {
    make();
    const two = [second(), second()];
    const ended = () => two.filter(({ child }) => child.exitCode !== null);
    await waitFor('one ends', () => ended().length > 0, 10_000);
    await waitFor('the other is ready', () => b.cli('status', '-q').code === 0, 20_000, 100);
    expect(ended().map(({ child }) => child.exitCode)).toEqual([4]);
    expect(ended()[0]?.said()).toContain('already runs here');
    expect(redisServers(b).length).toBe(1);
    expect(b.cli('stop').code).toBe(0);
  });

  it('starts where one was killed', async () => {
    make();
    await b.start();
    await b.stop('SIGKILL');
    expect(existsSync(control())).toBe(true);
    expect(b.cli('stop').code).toBe(1);
    await b.start();
    expect(statusOf(b).pid).toBe(b.pid);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'asked to end by %s at any moment of its start ends and leaves nothing',
    async (signal) => {
      make();
      for (const moment of [
        () => existsSync(control()),
        () => redisServers(b).length > 0,
        () => run('ipset', 'list', '-n') !== '',
        () => run('iptables-save', '-t', 'raw').includes('BARRICATA'),
      ]) {
        await b.start({ wait: false });
        await waitFor('the moment', moment, 10_000, 1);
        await b.stop(signal);
        expect(b.log).not.toMatch(/did not stop cleanly/);
        nothingLeft();
      }
    },
  );

  it('that meets a defect says so, stops as asked to and does not exit 0 or 1', async () => {
    make();
    const defect = `${b.folder}/defect.cjs`;
    writeFileSync(
      defect,
      "process.on('SIGUSR2', () => setImmediate(() => { throw new TypeError('made by the test'); }));",
    );
    for (const kind of ['throw new TypeError', 'Promise.reject(new TypeError']) {
      const text = `${kind}('made by the test')${kind.startsWith('P') ? ')' : ''}`;
      writeFileSync(defect, `process.on('SIGUSR2', () => setImmediate(() => { ${text}; }));`);
      const child = spawn(process.execPath, [program, 'run', '--config', b.config, '--on-stop', 'remove'], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, NODE_OPTIONS: `--require=${defect}` },
      });
      others.push(child);
      let text2 = '';
      child.stdout.on('data', (chunk: Buffer) => (text2 += chunk.toString()));
      await waitFor('it is ready', () => b.cli('status', '-q').code === 0, 20_000, 100);
      child.kill('SIGUSR2');
      await waitFor('it ends', () => child.exitCode !== null, 15_000);
      expect(child.exitCode).toBe(4);
      const lines = text2.split('\n').filter((line) => line.includes('made by the test'));
      expect(lines.length).toBe(1);
      expect(JSON.parse(lines[0] as string)).toMatchObject({ level: 60, err: 'made by the test' });
      nothingLeft();
    }
  });

  it.each(['run', 'start', 'cleanup'])('%s without root says in one line what to do, and exits 4', (verb) => {
    make();
    const unprivileged = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, program, verb];
    run('chmod', '755', b.folder);
    run('chmod', '644', b.config);
    const { code, out, err } = command('setpriv', [...unprivileged, '--config', b.config]);
    expect({ verb, code, lines: err.trim().split('\n') }).toEqual({ verb, code: 4, lines: [expect.any(String)] });
    expect(err).toMatch(/run as root|sudo/);
    expect(out + err).not.toMatch(/^\s+at /m);
  });

  it('says first what keeps it from being ready, and status exits 4 then', async () => {
    make({ limits: { total_bans: 1000 } });
    await b.start();
    const [redis] = redisServers(b) as [number];
    process.kill(redis, 'SIGSTOP');
    try {
      await waitFor('Redis is away', () => !statusOf(b).ready, 15_000, 100);
      expect(statusOf(b).problems[0]).toMatch(/^Redis is away/);
      expect(b.cli('status', '-q').code).toBe(4);
    } finally {
      process.kill(redis, 'SIGCONT');
    }
    await waitFor('it is ready again', () => statusOf(b).ready, 15_000, 100);
    expect(statusOf(b).problems).toEqual(statusOf(b).problems.filter((problem) => !problem.startsWith('Redis')));
  });

  it('takes up a change of mode in the file, unless a person set another', async () => {
    make();
    await b.start();
    b.configure({ mode: 'observe' });
    process.kill(b.pid, 'SIGHUP');
    await waitFor('the mode is observe', () => statusOf(b).mode === 'observe');
    expect(statusOf(b)).toMatchObject({ modeFrom: 'file', config: { restartNeeded: [] } });
    b.redis('SET', 'barricata:mode', 'enforce');
    await waitFor('the mode is enforce', () => statusOf(b).mode === 'enforce');
    b.configure({ mode: 'off' });
    process.kill(b.pid, 'SIGHUP');
    await waitFor('the file was read', () => b.log.split('the configuration was read again').length === 3);
    expect(statusOf(b)).toMatchObject({ mode: 'enforce', modeFrom: 'fleet' });
  });

  it('leaves the alerts to the other machine that has its name, until that is gone', async () => {
    make();
    await b.start();
    await waitFor('it beats', () => b.redis('EXISTS', 'barricata:host:testhost') === '1');
    await b.stop();
    // The private Redis without a daemon: another machine's heartbeat gets there first.
    const redis = spawn('redis-server', ['--port', '0', '--unixsocket', b.socket, '--dir', `${b.folder}/state`], {
      stdio: 'ignore',
    });
    others.push(redis);
    await waitFor('redis-server answers', () => b.redis('PING') === 'PONG');
    expect(b.redis('EXISTS', 'barricata:host:testhost')).toBe('0');
    b.configure({ redis: { url: `unix://${b.socket}` } });
    b.redis('HSET', 'barricata:host:testhost', 'machine', 'another');
    writeFileSync(b.eve, alertLine('203.0.113.1'), { flag: 'a' });
    await b.start({ wait: false });
    const problems = () => statusOf(b).problems.join('\n');
    await waitFor('it says so', () => problems().includes('another machine is named "testhost" too'), 15_000, 50);
    await waitFor('the comparison is complete', () => statusOf(b).kernel.complete);
    const { ready, eve } = statusOf(b);
    expect({ ready, eve }).toEqual({ ready: false, eve: [] });
    expect(b.cli('status', '-q').code).toBe(4);
    expect(b.redis('HGET', 'barricata:host:testhost', 'machine')).toBe('another');
    expect(b.redis('EXISTS', 'barricata:pos:testhost')).toBe('0');
    b.redis('DEL', 'barricata:host:testhost');
    await isBanned(b, '203.0.113.1', 10_000);
    await waitFor('it is ready', () => statusOf(b).ready);

    // Another machine takes the name while it is in use: nothing more is written under it.
    b.redis('HSET', 'barricata:host:testhost', 'machine', 'another');
    await waitFor('it says so', () => problems().includes('another machine is named'), 15_000, 50);
    writeFileSync(b.eve, alertLine('203.0.113.2'), { flag: 'a' });
    const position = b.redis('HGETALL', 'barricata:pos:testhost');
    await waitFor('the line was read and not acted on', () => statusOf(b).eve[0]?.lines === 2);
    expect(b.redis('HGETALL', 'barricata:pos:testhost')).toBe(position);
    expect(b.redis('EXISTS', 'barricata:ban:203.0.113.2')).toBe('0');
    b.redis('DEL', 'barricata:host:testhost');
    await isBanned(b, '203.0.113.2', 15_000);
    b.redis('HSET', 'barricata:host:testhost', 'machine', 'another');
    await b.stop();
    expect(b.redis('HGET', 'barricata:host:testhost', 'machine')).toBe('another');
  });

  it('acts on nothing before it knows the mode that Redis has', async () => {
    make();
    await b.start();
    b.redis('SET', 'barricata:mode', 'off');
    await waitFor('it is off', () => statusOf(b).mode === 'off');
    await b.stop();
    const before = b.log.length;
    await b.start();
    expect(b.log.slice(before)).not.toContain('the packet filter runs');
    expect(statusOf(b).queue).toMatchObject({ bound: false, problem: 'mode off: nothing is filtered' });
    b.redis('SET', 'barricata:mode', 'observe');
    await waitFor('it observes', () => statusOf(b).mode === 'observe');
    await b.stop();
    writeFileSync(b.eve, alertLine('203.0.113.1'), { flag: 'a' });
    await b.start();
    await waitFor('the alert was decided', () => statusOf(b).decisions['would_ban'] === 1);
    expect(inKernel(b)).toEqual([]);
  });

  it('records itself for others to find', async () => {
    make();
    await b.start();
    expect(readFileSync(`${b.folder}/run/barricata.pid`, 'utf8')).toMatch(new RegExp(`^${b.pid} \\d+\n$`));
    await b.stop();
    expect(readFileSync(`${b.folder}/run/barricata.pid`, 'utf8')).toBe('');
  });
});
