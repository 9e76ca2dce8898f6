import { describe, expect, it } from 'vitest';
import type { PolicyLine } from '../../../src/config/config.js';
import type { Decision } from '../../../src/policy/ban.js';
import { decide } from '../../../src/policy/decide.js';
import type { EveAlert } from '../../../src/suricata/eve-alert.js';
import { type AlertShape, alertFrom, contextFor, type Setting } from './support.js';

const T = Date.UTC(2026, 10, 23, 12);
const LATERAL = { src: '10.0.0.7', dest: '192.168.50.10' };
/** As when `never_ban` does not list home and `bannable_private` lists the network. */
const OPEN = { without: ['home', 'private'] } as const;

const line = (internal: boolean | 'ban'): PolicyLine => ({
  name: 'inside',
  line: 9,
  when: { internal },
  then: { kind: 'ban', duration: 3600 },
});

function decided(
  internal: boolean | 'ban',
  setting: Partial<Setting> = OPEN,
  shape: AlertShape = LATERAL,
  over: Partial<EveAlert> = {},
): Decision {
  return decide(alertFrom({ at: T, ...shape }, over), contextFor({ now: T, policy: [line(internal)], ...setting }));
}

describe('internal', () => {
  it('matches what has both ends inside, or what has not', () => {
    const outside: AlertShape = {};
    expect([decided(true).kind, decided(true, OPEN, outside).kind]).toEqual(['flag', 'note']);
    expect(decided(false).steps.find(({ check }) => check === 'policy')?.detail).toBe('no policy line matched');
    expect(decided(false, OPEN, outside).kind).toBe('ban');
  });

  it('bans an inside host only where the line says ban', () => {
    expect(decided(true).kind).toBe('flag');
    expect(decided('ban')).toMatchObject({
      kind: 'ban',
      ban: { prefix: '10.0.0.7', proven: true, record: { role: 'lateral', target: '192.168.50.10' } },
    });
  });

  it('matches nothing else with ban: an attacker outside is for other lines', () => {
    expect(decided('ban', OPEN, {}).kind).toBe('note');
    expect(decided('ban', OPEN, { src: '10.0.0.7', dest: '203.0.113.9' }).kind).toBe('flag');
  });

  it.each<[string, Partial<Setting>, string]>([
    ['home, unless never_ban leaves it out', { without: ['private'] }, 'home'],
    ['a private network that bannable_private does not list', { without: ['home'] }, 'private'],
    ['an allowed address', { ...OPEN, allowed: ['10.0.0.0/24'] }, 'allowed'],
    [
      'this machine, whatever never_ban says',
      { without: ['home', 'private', 'this_machine'], own: ['10.0.0.7'] },
      'this machine',
    ],
  ])('never bans what is protected, and flags it: %s', (_what, setting, cause) => {
    const decision = decided('ban', setting);
    expect(decision).toMatchObject({ kind: 'flag', inside: '10.0.0.7', why: expect.stringContaining(cause) });
  });

  it.each<[string, Partial<EveAlert>]>([
    [
      'who opened the flow is not known',
      {
        flow: null,
        direction: null,
        src: { ...alertFrom(LATERAL).src, port: 40_000 } as EveAlert['src'],
        dest: { ...alertFrom(LATERAL).dest, port: 40_001 } as EveAlert['dest'],
      },
    ],
    ['the packet was in a tunnel', { tunnelled: true }],
    ['the rule names the other end', { ruleTarget: alertFrom(LATERAL).src?.address ?? null }],
  ])('bans nobody where %s', (_what, over) => {
    expect(decided('ban', OPEN, LATERAL, over).kind).toBe('flag');
  });

  it('bans nobody for whom a proxy speaks: only the proxy could be dropped', () => {
    const over = { xff: '10.0.0.9' };
    const decision = decided('ban', { ...OPEN, trustedProxies: ['10.0.0.7'] }, LATERAL, over);
    expect(decision.kind).not.toBe('ban');
    expect(decided('ban', OPEN, LATERAL, over).kind).toBe('ban');
  });

  it('caps a ban without proof', () => {
    expect(decided('ban', OPEN, { ...LATERAL, proven: false })).toMatchObject({
      kind: 'ban',
      ban: { proven: false, until: T + 600_000, record: { scope: 'host' } },
    });
  });
});
