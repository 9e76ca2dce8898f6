import { describe, expect, it } from 'vitest';
import { preview, previewLines } from '../../../src/cli/policy/preview.js';
import { parseConfig } from '../../../src/config/load.js';
import { type EveAlert, parseAlert } from '../../../src/suricata/eve-alert.js';
import { alertLine } from '../../support/daemon.js';

const config = (then: string) =>
  parseConfig(
    `home: [192.168.50.0/24]
suricata: { rules: /nonexistent/rules }
policy:
  - { name: web, when: { category: Web Application Attack, from: outside, proven: true }, then: ${then} }`,
    'test.yaml',
  );

const recorded = (...addresses: readonly string[]) =>
  async function* () {
    for (const address of addresses)
      yield [{ alert: parseAlert(JSON.parse(alertLine(address))) as EveAlert, count: 10 }];
    return Date.UTC(2026, 10, 23);
  };

describe('the preview of a policy', () => {
  it('tells whom the candidate would ban, would no longer ban, and would ban for another time', async () => {
    const addresses = ['203.0.113.1', '203.0.113.2', '203.0.113.1', '192.168.50.7'];
    const removed = await preview(config('ban 1h'), config('note'), recorded(...addresses));
    expect(removed).toMatchObject({
      from: '2026-11-23T00:00:00.000Z',
      alerts: 40,
      before: 2,
      after: 0,
      added: [],
      removed: [{ address: '203.0.113.1' }, { address: '203.0.113.2' }],
    });
    expect(previewLines(removed)[0]).toBe(
      'over 40 alerts since 2026-11-23T00:00:00.000Z: 0 addresses would be banned (running policy: 2)',
    );
    const added = await preview(config('note'), config('ban 1h'), recorded(...addresses));
    expect(added).toMatchObject({ before: 0, after: 2, removed: [] });
    expect(previewLines(added)[1]).toMatch(/^ {2}\+ 203\.0\.113\.1 {2}would be banned \(running policy: /);
    const changed = await preview(config('ban 1h'), config('ban 4h'), recorded('203.0.113.1'));
    expect(changed).toMatchObject({ added: [], removed: [], changed: [{ address: '203.0.113.1' }] });
  });

  it('names only some of many, and says how many more', async () => {
    const many = Array.from({ length: 30 }, (_, i) => `203.0.113.${i + 1}`);
    const lines = previewLines(await preview(config('note'), config('ban 1h'), recorded(...many)));
    expect(lines).toHaveLength(22);
    expect(lines.at(-1)).toBe('  and 10 more');
  });

  it('says so where nothing is recorded', async () => {
    // biome-ignore lint/correctness/useYield: nothing is recorded
    const nothing = async function* () {
      return null;
    };
    expect(previewLines(await preview(config('note'), config('note'), nothing))).toEqual([
      'no preview: there is no history yet',
    ]);
  });
});
