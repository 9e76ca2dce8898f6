/**
 * Reads alerts and stores each batch with its position in one step: one file,
 * replaced by rename. To be killed at any moment and started again.
 *
 *   node eve-consumer.mjs COMPILED_SOURCES EVE_FILE STORE_DIRECTORY
 */
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [, , compiled = '', file = '', store = ''] = process.argv;
const { systemClock } = await import(join(compiled, 'base/clock.js'));
const { EveSource } = await import(join(compiled, 'suricata/eve-source.js'));
const { pino } = await import('pino');
const at = join(store, 'state.json');

function load() {
  try {
    return JSON.parse(readFileSync(at, 'utf8'));
  } catch {
    return { position: null, seen: [] };
  }
}

const state = load();
const source = new EveSource({
  globs: [file],
  longestLine: 16 << 20,
  positions: new Map(state.position === null ? [] : [[file, state.position]]),
  clock: systemClock,
  log: pino({ level: 'warn' }, { write: (text) => appendFileSync(join(store, 'log'), text) }),
  graceMs: 1000,
  onBatch: async (batch) => {
    state.position = batch.position;
    state.seen.push(...batch.alerts.map((alert) => alert.flowId ?? -1));
    writeFileSync(`${at}.new`, JSON.stringify(state));
    renameSync(`${at}.new`, at);
  },
});
await source.start();
setTimeout(() => undefined, 600_000);
