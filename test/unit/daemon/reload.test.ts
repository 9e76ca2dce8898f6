import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, expect, it } from 'vitest';
import { ConfigSource } from '../../../src/daemon/reload.js';
import { Settings } from '../../../src/daemon/settings.js';

const folder = mkdtempSync(join(tmpdir(), 'barricata-reload-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('the packet filter is told when what it means changed, and only then', async () => {
  const file = join(folder, 'barricata.yaml');
  const write = (filter: string, rest = '') => writeFileSync(file, `${rest}state: ${folder}\nfilter:\n${filter}`);
  const limit = (hours: string) => `{ more_than: 10 ports per source, within: 60s, then: ban 1h, between: ${hours} }`;
  write(`  scan: ${limit('22:00-06:00')}\n`);
  const log = pino({ level: 'silent' });
  const source = new ConfigSource({ file, log, embeddedRedis: false });
  let told = 0;
  const settings = new Settings(source.load());
  const parts = {
    settings,
    log,
    clock: { now: () => Date.UTC(2026, 10, 23) },
    facts: { reconfigured: () => undefined },
    kernel: { reconfigured: () => undefined },
    filterPath: { reconfigured: () => (told += 1) },
    acts: { journal: { write: async () => undefined } },
  } as unknown as Parameters<ConfigSource['reload']>[0];
  const changes = async (filter: string, rest?: string) => {
    write(filter, rest);
    const before = told;
    expect(await source.reload(parts, { by: null, reason: 'test', ticket: null })).toMatchObject({ taken: true });
    return told - before;
  };
  // At other hours nothing is too much: a limit without end.
  expect(settings.config.filter.scan?.most).toBe(Number.POSITIVE_INFINITY);
  expect(await changes(`  scan: [ ${limit('22:00 - 6:00')} ]\n`, '# moved\n\n')).toBe(0);
  expect(await changes(`  scan: ${limit('21:00-06:00')}\n`)).toBe(1);
  const always = limit('').replace(', between: ', '').replace('10 ports', '30 ports');
  expect(await changes(`  scan: [ ${limit('21:00-06:00')}, ${always} ]\n`)).toBe(1);
  const rule = '  rules:\n    - { proto: udp, then: drop }\n';
  expect(await changes(rule)).toBe(1);
  expect(await changes(rule, 'mode: observe\n\n')).toBe(0);
  expect(await changes(rule.replace('udp', 'tcp'))).toBe(1);
});
