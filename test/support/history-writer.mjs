/**
 * Writes history until it is killed: row N has the address of N. Prints the
 * number of rows that are in the files after each flush.
 *
 *   node history-writer.mjs COMPILED DIRECTORY FIRST
 */
const [, , compiled, directory, first] = process.argv;
const { Recorder } = await import(`${compiled}/history/recorder.js`);
const { systemClock } = await import(`${compiled}/base/clock.js`);
const { createLog } = await import(`${compiled}/base/log.js`);
const bounds = { keep: 86_400, atMost: 2 ** 30 };
const log = createLog('silent');
const recorder = new Recorder({ directory, bounds, isInside: () => false, clock: systemClock, log });
const end = (n) => ({ address: `203.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`, port: 1 });

for (let n = Number(first); ; ) {
  for (const upTo = n + 300 + (n % 700); n < upTo; n++) {
    const alert = { at: Date.now(), gid: 1, sid: 1, rev: 1, src: end(n), dest: null, signature: 'x'.repeat(n % 50) };
    const decision = { kind: 'note', why: '', candidate: alert.src.address, steps: [] };
    recorder.add({ alert, detection: null, decision, outcome: 'none', policyVersion: '' });
  }
  await recorder.flush();
  process.stdout.write(`${n}\n`);
}
