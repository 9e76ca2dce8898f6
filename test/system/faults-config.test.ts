/** Configuration that is wrong, rights and programs that are missing. */
import { chownSync, writeFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { inKernel, isBanned, isNotBanned, redisServers, statusOf, without } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a daemon that lacks something', () => {
  let b: Barricata;

  beforeAll(() => enterPrivateNetns());
  afterEach(async () => {
    await b.stop().catch(() => undefined);
    b.cli('cleanup');
    await b.remove();
  });

  const ends = () => waitFor('the daemon ends', () => !b.running, 15_000, 50);
  /** What it printed besides log lines; a stack trace would show here. */
  const said = () => b.log.split('\n').filter((line) => !line.startsWith('{') && !line.startsWith('redis-cli '));

  it('keeps its configuration when a broken file is read, and takes up the corrected one', async () => {
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
    const { version } = statusOf(b).config;
    for (const address of ['198.51.100.1', '198.51.100.2']) {
      b.redis('SET', `barricata:ban:${address}`, 'x', 'EX', '600');
      await isBanned(b, address);
    }
    writeFileSync(b.config, 'mode: enforc\nhomee: []\nnever_ban: [ { address: 198.51.100.0/33 } ]\n');
    process.kill(b.pid, 'SIGHUP');
    const problems = await waitFor('status names the mistakes', () => {
      const found = statusOf(b).config.problems;
      return found.length > 0 ? found.join('\n') : null;
    });
    for (const word of [':1:', 'enforce', ':2:', 'home', ':3:']) expect(problems).toContain(word);
    expect(statusOf(b).config.version).toBe(version);
    expect(statusOf(b).problems.join('\n')).toContain('not taken up');
    expect(statusOf(b).alarms).toMatchObject([{ name: 'policy_rejected', detail: expect.stringContaining(':1:') }]);
    // The command line reads the file by itself: it is told what is wrong, and where.
    expect(b.cli('status').code).toBe(2);
    expect(b.running).toBe(true);
    expect(inKernel(b)).toEqual(['198.51.100.1', '198.51.100.2']);
    b.redis('SET', 'barricata:ban:198.51.100.3', 'x', 'EX', '600');
    await isBanned(b, '198.51.100.3');

    const never = { address: '198.51.100.2/31', reason: 'penetration test', ticket: 'INC-4600' };
    b.configure({ never_ban: ['home', 'this_machine', 'infrastructure', never] });
    process.kill(b.pid, 'SIGHUP');
    await isNotBanned(b, '198.51.100.2');
    await isNotBanned(b, '198.51.100.3');
    expect(inKernel(b)).toEqual(['198.51.100.1']);
    expect(b.elements('barricata-allow4').has('198.51.100.2/31')).toBe(true);
    const key = 'barricata:refused:198.51.100.2';
    expect(await waitFor(key, () => b.redis('GET', key), 3000)).toContain('penetration test');
    expect(b.redis('EXISTS', 'barricata:ban:198.51.100.2')).toBe('1');
    expect(statusOf(b).config.problems).toEqual([]);
    expect(statusOf(b).alarms).toEqual([]);
    expect(statusOf(b).config.version).not.toBe(version);

    // Gone from the file, they are banned as their keys say.
    b.configure({});
    process.kill(b.pid, 'SIGHUP');
    await isBanned(b, '198.51.100.2');
    await waitFor('no explanation is left', () => b.redis('EXISTS', key) === '0', 5000);
    expect(statusOf(b).config.version).toBe(version);
  });

  it('says that a change of fixed settings waits for a restart, and keeps what holds', async () => {
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
    b.configure({ host: 'another', queue: { numbers: [200] } });
    process.kill(b.pid, 'SIGHUP');
    await waitFor('status says so', () => statusOf(b).config.restartNeeded.length === 2);
    expect(statusOf(b).config.restartNeeded).toEqual(['host', 'queue']);
    expect(statusOf(b).problems).toContain('restart needed for: host, queue');
    expect(statusOf(b).host).toBe('testhost');
  });

  it('ends with the fix named when it may not change the kernel', async () => {
    b = new Barricata();
    writeFileSync(b.eve, '');
    for (const path of [b.folder, `${b.folder}/run`, b.eve, b.config]) chownSync(path, 65_534, 65_534);
    await b.start({ wait: false, through: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] });
    await ends();
    expect(said().join('\n')).toMatch(/run as root|sudo/);
    expect(said().join('\n')).not.toMatch(/^\s+at /m);
  });

  it('ends with the fix named when its folders may not be written', async () => {
    b = new Barricata();
    for (const path of [b.folder, b.config]) chownSync(path, 65_534, 65_534);
    await b.start({ wait: false, through: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] });
    await ends();
    expect(said().join('\n')).toContain(`${b.folder}/run`);
    expect(said().join('\n')).toMatch(/run as root|sudo/);
    expect(said().join('\n')).not.toMatch(/^\s+at /m);
  });

  it('works where the ipset program is missing', async () => {
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start({ through: without(b, 'ipset') });
    expect(run('nsenter', `--mount=/proc/${b.pid}/ns/mnt`, 'sh', '-c', 'command -v ipset || echo none')).toBe('none\n');
    appendAlert();
    await isBanned(b, '203.0.113.1');
    b.redis('SET', 'barricata:ban:198.51.100.1', 'x', 'EX', '600');
    await isBanned(b, '198.51.100.1');
    await b.stop();
    expect(run('ipset', 'list', '-n')).toBe('');
  });

  const appendAlert = () => writeFileSync(b.eve, alertLine('203.0.113.1'), { flag: 'a' });

  it.each([
    ['iptables', ['iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore']],
    ['redis-server', ['redis-server']],
  ])('ends with the package named where %s is missing', async (name, programs) => {
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start({ wait: false, through: without(b, ...programs) });
    await ends();
    expect(said().join('\n')).toContain(`apt-get install ${name}`);
    expect(said().join('\n')).not.toMatch(/^\s+at /m);
    // Nothing is left behind by a start that failed.
    expect(run('ipset', 'list', '-n')).toBe('');
    expect(redisServers(b)).toEqual([]);
  });
});
