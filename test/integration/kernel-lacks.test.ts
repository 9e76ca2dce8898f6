/** Rules of the packet filter on a kernel that refuses some of them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { parseConfig } from '../../src/config/load.js';
import { Commands } from '../../src/enforcement/command.js';
import { IpsetBackend } from '../../src/enforcement/ipset-backend.js';
import { Rules, type RulesOptions } from '../../src/enforcement/rules.js';
import { refreshAlive } from '../../src/netlink/alive.js';
import { IpsetClient } from '../../src/netlink/ipset.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run } from '../support/netns.js';
import { tcp } from '../support/packets.js';
import { Wire } from '../support/wire.js';

const basis = hasFeatures('root', 'ipset', 'nfqueue');
const variants = [
  ['nft', basis && hasFeatures('iptables-nft')],
  ['legacy', basis && hasFeatures('iptables-legacy')],
] as const;
if (basis) enterPrivateNetns();

for (const [variant, present] of variants)
  describe.skipIf(!present)(`where the kernel lacks by iptables-${variant}`, () => {
    const commands = new Commands();
    const backend = new IpsetBackend({ gate: () => null, clock: systemClock, maxelem: 65_536 });
    let rules: Rules;
    const install = async (yaml: string, through: RulesOptions['commands'] = commands) => {
      const { queue, filter } = parseConfig(`filter:\n  ${yaml}\n`, 'test');
      rules = new Rules({ commands: through, variant, outbound: true, packets: () => ({ queue, filter }) });
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

    const everything = [
      'udp: { more_than: 2000/s per source, during: 3s, then: ban 10m }',
      'flood: { more_than: 200/s per destination, then: synproxy }',
      'rules: [{ proto: udp, dport: [53, 123], larger_than: 500, then: reject }]',
    ].join('\n  ');
    /** A kernel that refuses every rule with such words, as each variant says it. */
    const without = (...words: string[]): RulesOptions['commands'] => ({
      run: async (program, args, input = '') => {
        const word = program.endsWith('-restore') ? words.find((one) => input.includes(one)) : undefined;
        if (word === undefined) return commands.run(program, args, input);
        const name = word.split(' ')[1];
        const stderr =
          variant === 'nft'
            ? `Warning: Extension ${name} revision 0 not supported, missing kernel module?\niptables-restore: line 9 failed`
            : `iptables-restore: line 9 failed`;
        return { code: 1, stdout: '', stderr };
      },
    });
    const mangle = () => run(`iptables-${variant}-save`, '-t', 'mangle');

    let wire: Wire;
    let client: IpsetClient;
    beforeAll(() => {
      wire = new Wire(['192.0.2.1/24']);
      client = IpsetClient.open();
      // Makes the kernel load conntrack, so that the parameter is there.
      for (const verb of ['-A', '-D'])
        run(`iptables-${variant}`, verb, 'OUTPUT', '-m', 'conntrack', '--ctstate', 'INVALID');
      run('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=0');
    });
    afterAll(() => {
      run('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=1');
      client.close();
      wire.close();
    });

    it.each([
      ['conntrack', '-m conntrack', /stray ACKs, UDP and rare protocols are not filtered/],
      ['hashlimit', '-m hashlimit', /queue\.at_most and the limit on flooded services are not in force/],
      ['the target SET', '-j SET', /does not single out sources/],
      ['length', '-m length', /larger_than or smaller_than/],
      ['REJECT', '-j REJECT', /nothing is rejected/],
      ['SYNPROXY', '-j SYNPROXY', /flooded services are held at the rate/],
      ['CT', '-j CT', /flooded services are held at the rate/],
    ])('%s, the rest is in force and a note says what is not', async (_name, word, said) => {
      const { queue, rejects, notes } = await install(everything, without(word));
      expect(queue).toBe(true);
      expect(rejects).toBe(word !== '-j REJECT');
      expect(notes.some((note) => note.startsWith('IPv4: ') && said.test(note))).toBe(true);
      expect(run(`iptables-${variant}-save`)).not.toContain(word);
      expect(mangle()).toContain('-j NFQUEUE');
      refreshAlive(client);
      wire.send(tcp({ source: '203.0.113.9', target: '192.0.2.1', port: 81 }));
      expect((await rules.queueCounts()).queued).toBe(1);
    });

    it('multiport, a port takes a rule each', async () => {
      expect((await install(everything, without('-m multiport'))).notes).toEqual([]);
      expect(mangle()).toContain('-p udp -m udp --dport 53 -m length --length 501:65535 -g BARRICATA-NAMED');
      expect(mangle()).toContain('-p udp -m udp --dport 123 -m length --length 501:65535 -g BARRICATA-NAMED');
    });

    it('NFQUEUE, bans are enforced and nothing else is left behind', async () => {
      const { queue, notes } = await install(everything, without('-j NFQUEUE'));
      expect(queue).toBe(false);
      expect(notes).toHaveLength(2);
      expect(notes[0]).toMatch(/^IPv4 packets are not filtered, bans are enforced: /);
      expect(mangle()).not.toContain('BARRICATA');
      expect(run(`iptables-${variant}-save`, '-t', 'raw')).toContain('-A PREROUTING -j BARRICATA');
    });
  });
