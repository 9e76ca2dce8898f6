import { describe, expect, it } from 'vitest';
import type { ControlRoute } from '../../../src/daemon/control.js';
import { routesOf } from '../../../src/daemon/routes.js';

type Parts = Parameters<typeof routesOf>[0];

/** The routes over parts of which only what they use is there. */
function routes(rules: 'in place' | 'missing', more: object = {}): Record<string, ControlRoute> {
  const element = { text: '203.0.113.9', timeout: 60, packets: 4, bytes: 0 };
  const parts = {
    kernel: {
      rules: { state: rules },
      backend: {
        find: async (list: string) => (list === 'ban' ? element : null),
        async *dump() {
          yield [element];
        },
      },
    },
    reconciler: { refusal: () => undefined },
    facts: { refuse: () => null },
    mirror: {
      mode: { mode: 'enforce', until: null, from: 'fleet' },
      get: (list: string, text: string) =>
        list === 'ban' && ['203.0.113.9', '203.0.112.0/20', '::/0', '0.0.0.0/0'].includes(text) ? 1 : undefined,
      held: () => 3,
      level: {
        held: () => [
          { id: 'b:x', text: '203.0.113.9', until: 1 },
          { id: 'a:x', text: '198.51.100.1', until: 1 },
        ],
      },
    },
    settings: { config: { host: 'here' } },
    ...more,
  };
  return routesOf(parts as unknown as Parts, { stop: () => {}, reload: async () => ({ taken: false, problems: [] }) });
}

const ask = (of: Record<string, ControlRoute>, path: string, query = '') => of[path]?.(new URLSearchParams(query));

describe('the routes of the control socket', () => {
  it('say that an element drops only while the rules that use the set are in place', async () => {
    expect(await ask(routes('in place'), '/elements')).toEqual({ rules: 'in place', packets: { '203.0.113.9': 4 } });
    expect(await ask(routes('missing'), '/elements')).toEqual({ rules: 'missing', packets: {} });
    expect(await ask(routes('in place'), '/kernel', 'address=203.0.113.9')).toMatchObject({ inKernel: true });
    expect(await ask(routes('missing'), '/kernel', 'address=203.0.113.9')).toMatchObject({
      inKernel: false,
      rules: 'missing',
    });
  });

  it('look an address up in the allow set as well', async () => {
    expect(await ask(routes('in place'), '/kernel', 'address=203.0.113.9')).toMatchObject({ allowed: false });
  });

  it('name some held bans, so that their going can be watched', async () => {
    expect(await ask(routes('in place'), '/held')).toEqual({ held: 3, sample: ['203.0.113.9'] });
  });

  it('name the bans around an address without looking at others, the narrowest first', async () => {
    expect(await ask(routes('in place'), '/covering', 'address=203.0.113.9')).toEqual([
      '203.0.113.9',
      '203.0.112.0/20',
      '0.0.0.0/0',
    ]);
    expect(await ask(routes('in place'), '/covering', 'address=203.0.113.0/24')).toEqual([
      '203.0.112.0/20',
      '0.0.0.0/0',
    ]);
    expect(await ask(routes('in place'), '/covering', 'address=2001:db8::1')).toEqual(['::/0']);
  });

  it('lift a limit that was reached, and say which it was', async () => {
    let resets = 0;
    const limits = { state: { reached: 'total_bans' }, reset: () => resets++ };
    expect(await ask(routes('in place', { limits }), '/limits/reset')).toEqual({ reached: 'total_bans' });
    expect(resets).toBe(1);
  });

  it('give the mode with its end and where it comes from', async () => {
    expect(await ask(routes('in place'), '/mode')).toEqual({ mode: 'enforce', until: null, from: 'fleet' });
  });
});
