/** Packets that the worker marks are refused with an answer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { parseConfig } from '../../src/config/load.js';
import { Commands } from '../../src/enforcement/command.js';
import { IpsetBackend } from '../../src/enforcement/ipset-backend.js';
import { Rules } from '../../src/enforcement/rules.js';
import { REJECT_MARK } from '../../src/net/mark.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const basis = hasFeatures('root', 'ipset', 'nfqueue');
const variants = [
  ['nft', basis && hasFeatures('iptables-nft')],
  ['legacy', basis && hasFeatures('iptables-legacy')],
] as const;
if (basis) enterPrivateNetns();

for (const [variant, present] of variants)
  describe.skipIf(!present)(`a reject by iptables-${variant}`, () => {
    const commands = new Commands();
    const backend = new IpsetBackend({ gate: () => null, clock: systemClock, maxelem: 65_536 });
    let rules: Rules;
    const install = async (yaml: string) => {
      const { queue, filter } = parseConfig(`filter:\n  ${yaml}\n`, 'test');
      rules = new Rules({ commands, variant, outbound: true, packets: () => ({ queue, filter }) });
      const result = await rules.install();
      expect(await rules.verify()).toBe('ok');
      await rules.queueCounts();
      return result;
    };
    beforeEach(() => backend.open());
    afterEach(async () => {
      await rules.remove();
      await backend.destroy();
    });

    const rejecting = 'rules: [{ proto: tcp, dport: 8080, then: reject }]';
    const mark = `0x${REJECT_MARK.toString(16)}`;
    const marking = (...match: string[]) => [
      '-t',
      'mangle',
      '-A',
      'PREROUTING',
      ...match,
      '-j',
      'MARK',
      '--or-mark',
      mark,
    ];

    const SERVER = '198.51.100.1';
    let host: Host;
    let server: ChildProcess;
    beforeAll(() => {
      host = new Host('c', ['198.51.100.7/24'], [`${SERVER}/24`]);
      server = spawn(process.execPath, ['-e', "require('net').createServer().listen(8080)"], { stdio: 'ignore' });
    });
    afterAll(() => {
      server.kill('SIGKILL');
      host.remove();
    });

    it('answers by a reset or as unreachable, on the way in and through, and needs a rule that rejects', async () => {
      const far = new Host('f', ['203.0.113.7/24'], ['203.0.113.1/24']);
      run('sysctl', '-qw', 'net.ipv4.ip_forward=1');
      host.run('ip', 'route', 'add', 'default', 'via', SERVER);
      far.run('ip', 'route', 'add', 'default', 'via', '203.0.113.1');
      const ask = (proto: 'tcp' | 'udp', target: string) => {
        const how =
          proto === 'tcp'
            ? `require('net').connect(8080,'${target}').on('connect',()=>done('open'))`
            : `require('dgram').createSocket('udp4');s.connect(8080,'${target}',()=>s.send('x'))`;
        const script = `const done=(t)=>{console.log(t);process.exit(0)};setTimeout(()=>done('silence'),700);
          const s=${how};s.on('error',(e)=>done(e.code))`;
        return host.run(process.execPath, '-e', script).trim();
      };
      try {
        expect((await install('land: true')).rejects).toBe(false);
        run(`iptables-${variant}`, ...marking('-p', 'tcp', '--dport', '8080'));
        run(`iptables-${variant}`, ...marking('-p', 'udp', '--dport', '8080'));
        await waitFor('the server', () => ask('tcp', SERVER) === 'open');
        expect((await install(rejecting)).rejects).toBe(true);
        expect(run(`iptables-${variant}`, '-S', 'INPUT')).toMatch(/-P INPUT ACCEPT\n-A INPUT -j BARRICATA-REJECT\n/);
        for (const target of [SERVER, '203.0.113.7']) {
          expect([target, ask('tcp', target), ask('udp', target)]).toEqual([target, 'ECONNREFUSED', 'ECONNREFUSED']);
        }
        run(`iptables-${variant}`, '-t', 'mangle', '-F', 'PREROUTING');
        await rules.install();
        expect(ask('tcp', SERVER)).toBe('open');
      } finally {
        run(`iptables-${variant}`, '-t', 'mangle', '-F', 'PREROUTING');
        run('sysctl', '-qw', 'net.ipv4.ip_forward=0');
        host.run('ip', 'route', 'delete', 'default');
        far.remove();
      }
    });
  });
