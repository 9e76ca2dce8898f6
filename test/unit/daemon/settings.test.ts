import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { Settings, withoutRestart } from '../../../src/daemon/settings.js';

const config = (text: string) => parseConfig(text, 'test.yaml');

describe('settings of a running daemon', () => {
  it('take up what can change, and name what waits for a restart in the words of the file', () => {
    const running = config('otherwise: note\nqueue: { numbers: [100] }');
    const next = config(`
otherwise: flag
filter: { syn: off }
queue: { numbers: [200] }
suricata: { longest_line: 1MiB, ignore_alerts_older_than: 5m }
limits: { new_bans_per_minute: 7, total_bans: 5 }`);
    const { config: holds, restartNeeded } = withoutRestart(running, next);
    expect(restartNeeded).toEqual(['suricata.longest_line', 'limits.total_bans', 'queue']);
    expect(holds).toMatchObject({
      otherwise: { kind: 'flag' },
      filter: { syn: null },
      queue: { numbers: [100] },
      suricata: { longestLine: 16 * 2 ** 20, ignoreAlertsOlderThan: 300 },
      limits: { newBansPerMinute: 7, totalBans: 1_000_000 },
      policyVersion: next.policyVersion,
    });
  });

  it('ask for no restart any more when the file says again what runs', () => {
    const settings = new Settings(config('queue: { numbers: [100] }'));
    settings.take(config('queue: { numbers: [200] }'));
    settings.take(config('queue: { numbers: [300] }'));
    expect(settings.problems).toEqual(['restart needed for: queue']);
    settings.take(config('queue: { numbers: [100] }'));
    expect(settings.problems).toEqual([]);
  });

  it('raise an alarm from the first rejection until a file is good', () => {
    const settings = new Settings(config('mode: enforce'));
    const before = settings.config;
    settings.reject(['a:1: wrong'], 1000);
    settings.reject(['a:2: wrong too'], 5000);
    expect(settings.config).toBe(before);
    expect(settings.alarms).toEqual([
      { name: 'policy_rejected', since: '1970-01-01T00:00:01.000Z', detail: 'a:2: wrong too' },
    ]);
    expect(settings.problems).toEqual(['not taken up: a:2: wrong too']);
    settings.take(config('mode: observe'));
    expect(settings.alarms).toEqual([]);
    expect(settings.problems).toEqual([]);
  });
});
