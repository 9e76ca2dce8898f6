/** Lines that ask for `distinct_sids`, decided. */
import { describe, expect, it } from 'vitest';
import type { PolicyLine } from '../../../src/config/config.js';
import type { DecisionContext } from '../../../src/policy/context.js';
import { decide } from '../../../src/policy/decide.js';
import { PolicyMemory } from '../../../src/policy/memory.js';
import type { EveAlert } from '../../../src/suricata/eve-alert.js';
import { type AlertShape, alertFrom, contextFor, type Setting } from './support.js';

const T = Date.UTC(2026, 10, 23, 12);

const THREE: PolicyLine = {
  name: 'three different attacks',
  line: 12,
  when: { severity: [1, 2], from: 'outside', distinctSids: { atLeast: 3, within: 600 } },
  then: { kind: 'ban', duration: 14_400 },
};

function kinds(
  alerts: readonly (AlertShape & { readonly over?: Partial<EveAlert> })[],
  setting: Partial<Setting> = {},
) {
  const memory = new PolicyMemory();
  const context: DecisionContext = contextFor({ now: T, policy: [THREE], ...setting });
  return alerts.map(({ over, ...shape }, i) => decide(alertFrom({ at: T + i, ...shape }, over), context, memory).kind);
}

describe('a line that asks for several different attacks', () => {
  it('bans at the third, by the time of the event', () => {
    expect(kinds([{ sid: 1 }, { sid: 2 }, { sid: 2 }, { sid: 3 }])).toEqual(['note', 'note', 'note', 'ban']);
  });

  it('matches nothing where nothing is remembered', () => {
    const context = contextFor({ now: T, policy: [{ ...THREE, when: { distinctSids: { atLeast: 2, within: 60 } } }] });
    for (const sid of [1, 2, 3]) expect(decide(alertFrom({ at: T, sid }), context).kind).toBe('note');
  });

  it('counts a signature of another group for itself', () => {
    expect(kinds([{ sid: 1 }, { sid: 1, over: { gid: 2 } }, { sid: 1, over: { gid: 3 } }]).at(-1)).toBe('ban');
  });

  it('counts attackers apart, and those of one IPv6 /64 together', () => {
    expect(kinds([{ sid: 1 }, { sid: 2, src: '203.0.113.67' }, { sid: 3, src: '203.0.113.68' }]).at(-1)).toBe('note');
    const v6 = (host: string, sid: number) => ({ sid, src: `2001:db8:1:2::${host}`, dest: 'fc00::10' });
    expect(kinds([v6('1', 1), v6('2', 2), v6('ffff', 3)]).at(-1)).toBe('ban');
    const elsewhere = { sid: 3, src: '2001:db8:1:3::1', dest: 'fc00::10' };
    expect(kinds([v6('1', 1), v6('2', 2), elsewhere]).at(-1)).toBe('note');
  });

  it('counts own hosts each for itself, also in one IPv6 /64', () => {
    const line: PolicyLine = {
      ...THREE,
      when: { from: 'home', distinctSids: { atLeast: 2, within: 60 } },
      then: { kind: 'ignore' },
    };
    const own = (host: string, sid: number) => ({ sid, src: `fc00::${host}`, dest: '2001:db8::1' });
    expect(kinds([own('1', 1), own('2', 2)], { policy: [line] })).toEqual(['flag', 'flag']);
    expect(kinds([own('1', 1), own('1', 2)], { policy: [line] })).toEqual(['flag', 'ignore']);
  });

  it.each<[string, Partial<EveAlert>]>([
    ['of another severity', { severity: 3 }],
    ['that say that they are no ground for a ban', { metadata: { confidence: ['Low'] } }],
    ['seen in a tunnel', { tunnelled: true }],
    ['about engine events', { category: 'Generic Protocol Command Decode' }],
  ])('does not count alerts %s', (_what, over) => {
    expect(kinds([{ sid: 1, over }, { sid: 2, over }, { sid: 3 }]).at(-1)).toBe('note');
  });

  it('does not count alerts of rules that count per destination', () => {
    const rules = { 1: { track: 'by_dst' as const }, 2: { track: 'by_dst' as const } };
    expect(kinds([{ sid: 1 }, { sid: 2 }, { sid: 3 }], { rules }).at(-1)).toBe('note');
  });

  it('does not count alerts that an earlier line decided', () => {
    const earlier: PolicyLine = { name: 'known', line: 3, when: { sid: [1] }, then: { kind: 'note' } };
    expect(kinds([{ sid: 1 }, { sid: 2 }, { sid: 3 }], { policy: [earlier, THREE] }).at(-1)).toBe('note');
  });

  it('makes no proven ban of forged alerts that are mixed with one proven', () => {
    const memory = new PolicyMemory();
    const context = contextFor({ now: T, policy: [THREE] });
    const judge = (sid: number, proven: boolean) => decide(alertFrom({ sid, proven, at: T }), context, memory);
    expect([judge(1, false).kind, judge(2, false).kind, judge(3, true).kind]).toEqual(['note', 'note', 'note']);
    const forged = judge(4, false);
    expect(forged).toMatchObject({ kind: 'ban', ban: { proven: false, record: { scope: 'host' } } });
    expect([judge(5, true).kind, judge(6, true).kind]).toEqual(['note', 'ban']);
  });

  it('goes on counting over a policy that was read again, where the line is the same, and anew where it is not', () => {
    const memory = new PolicyMemory();
    const judge = (sid: number, line: PolicyLine) =>
      decide(alertFrom({ at: T, sid }), contextFor({ now: T, policy: [{ ...line, when: { ...line.when } }] }), memory)
        .kind;
    expect([judge(1, THREE), judge(2, { ...THREE, line: 80 }), judge(3, THREE)]).toEqual(['note', 'note', 'ban']);
    expect(judge(4, { ...THREE, when: { ...THREE.when, severity: [1, 3] } })).toBe('note');
    expect(memory.status().initiators).toBe(1);
  });

  it('counts the same alert once, however often a batch is given again', () => {
    const memory = new PolicyMemory();
    const context = contextFor({ now: T, policy: [THREE] });
    const batch = [alertFrom({ at: T, sid: 1 }), alertFrom({ at: T + 1, sid: 2 })];
    for (let turn = 0; turn < 5; turn++) {
      for (const alert of batch) expect(decide(alert, context, memory).kind).toBe('note');
    }
    expect(memory.status()).toEqual({ initiators: 1, forgotten: 0 });
  });
});
