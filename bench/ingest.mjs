/**
 * What does it cost to read eve.json, and how soon is an alert handed on?
 *
 *   node bench/ingest.mjs [MEGABYTES] [ROUNDS]        needs `npm run build`
 *
 * Throughput: the full path (follow, find, parse, hand on) over a generated
 * file, against a plain read of the same file in the same run; each measurement
 * in a process of its own, interleaved, medians. Latency: from the write of an
 * alert line by another process until the batch is handed on. Cost while
 * following: CPU when nothing is written, and at 5,000 single writes a second.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eveLines, writeEveFile } from './support/eve-generator.mjs';

const self = fileURLToPath(import.meta.url);
const seconds = ({ user, system }) => (user + system) / 1e6;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function follow(path, onBatch, options = {}) {
  const { EveSource } = await import('../dist/suricata/eve-source.js');
  const { systemClock } = await import('../dist/base/clock.js');
  const { createLog } = await import('../dist/base/log.js');
  const source = new EveSource({
    globs: [path],
    longestLine: 16 << 20,
    positions: new Map(),
    clock: systemClock,
    log: createLog('silent'),
    onBatch,
    ...options,
  });
  return source;
}

/** Follows a file to its end. */
async function readAll(path, onOther) {
  const { size } = statSync(path);
  let lines = 0;
  let alerts = 0;
  let finish;
  const finished = new Promise((resolve) => {
    finish = resolve;
  });
  const onBatch = async (batch) => {
    lines += batch.lines;
    alerts += batch.alerts.length;
    if (JSON.parse(batch.position).files.some((file) => file.offset === size)) finish();
  };
  const source = await follow(path, onBatch, { onOther });
  const cpu = process.cpuUsage();
  await source.start();
  await finished;
  const spent = process.cpuUsage(cpu);
  await source.stop();
  return { cpu: seconds(spent), lines, alerts };
}

const measurements = {
  /** The floor: every byte into memory, nothing more. */
  read(path) {
    const buffer = Buffer.allocUnsafeSlow(256 * 1024);
    const fd = openSync(path, 'r');
    const cpu = process.cpuUsage();
    while (readSync(fd, buffer, 0, buffer.length, null) > 0);
    const spent = process.cpuUsage(cpu);
    closeSync(fd);
    return { cpu: seconds(spent) };
  },

  full: (path) => readAll(path),

  /** The same, with the contacts of flow, http and tls records for history. */
  async contacts(path) {
    const { ContactReader } = await import('../dist/suricata/eve-contact.js');
    const { ContactTable } = await import('../dist/history/contact-table.js');
    const table = new ContactTable(1 << 16);
    let contacts = 0;
    const reader = new ContactReader((record) => {
      contacts += 1;
      table.add(record);
    });
    const result = await readAll(path, (buffer, start, value, end) => reader.read(buffer, start, value, end));
    if (contacts === 0 || reader.unreadable > 0)
      throw new Error(`${contacts} contacts, ${reader.unreadable} unreadable`);
    return { ...result, contacts };
  },

  /** Alerts carry the time of their writing as flow id. */
  async latency(path, count) {
    writeFileSync(path, '');
    const delays = [];
    let finish;
    const finished = new Promise((resolve) => {
      finish = resolve;
    });
    const source = await follow(path, async (batch) => {
      const now = Number(process.hrtime.bigint());
      for (const alert of batch.alerts) delays.push((now - alert.flowId) / 1e6);
      if (delays.length >= Number(count)) finish();
    });
    await source.start();
    const idle = process.cpuUsage();
    await pause(3000);
    const idlePercent = (seconds(process.cpuUsage(idle)) / 3) * 100;
    const writer = spawn(process.execPath, [self, '--measure', 'write', path, String(count)], { stdio: 'inherit' });
    await Promise.all([finished, new Promise((resolve) => writer.on('exit', resolve))]);
    await source.stop();
    delays.sort((a, b) => a - b);
    const at = (share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))];
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1), idlePercent };
  },

  async write(path, count) {
    const fd = openSync(path, 'a');
    const line = eveLines(7);
    for (let written = 0; written < Number(count); written++) {
      for (let i = 0; i < 3; i++) writeSync(fd, line());
      await pause(3 + (written % 30));
      const id = process.hrtime.bigint();
      writeSync(
        fd,
        `{"timestamp":"2026-11-22T16:00:00.000000+0000","flow_id":${id},"event_type":"alert","src_ip":"203.0.113.66","dest_ip":"192.168.50.10","proto":"TCP","alert":{"signature_id":1}}\n`,
      );
    }
    closeSync(fd);
    return {};
  },

  /** CPU share of one core while another process makes single writes. */
  async busy(path, perSecond) {
    writeFileSync(path, '');
    const source = await follow(path, async () => {});
    await source.start();
    const writer = spawn(process.execPath, [self, '--measure', 'stream', path, String(perSecond)], { stdio: 'ignore' });
    await pause(500);
    const cpu = process.cpuUsage();
    const from = source.status().paths[0].lines;
    await pause(3000);
    const percent = (seconds(process.cpuUsage(cpu)) / 3) * 100;
    const rate = (source.status().paths[0].lines - from) / 3;
    await new Promise((resolve) => writer.on('exit', resolve));
    await source.stop();
    return { percent, rate };
  },

  async stream(path, perSecond) {
    const fd = openSync(path, 'a');
    const line = eveLines(9);
    const begin = performance.now();
    for (let written = 0; performance.now() - begin < 4000; ) {
      const due = ((performance.now() - begin) / 1000) * Number(perSecond);
      for (; written < due; written++) writeSync(fd, line());
      await pause(1);
    }
    closeSync(fd);
    return {};
  },
};

function measure(name, ...args) {
  const run = spawnSync(process.execPath, [self, '--measure', name, ...args.map(String)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`${name} ended with ${run.status}`);
  return JSON.parse(run.stdout);
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function main(megabytes, rounds) {
  const directory = mkdtempSync(join(tmpdir(), 'barricata-bench-'));
  try {
    const path = join(directory, 'eve.json');
    const made = writeEveFile(path, megabytes);
    console.log(`file: ${made.bytes} bytes, ${made.lines} lines, ${made.alerts} alerts`);
    measure('read', path);
    const floor = [];
    const full = [];
    const contacts = [];
    for (let round = 0; round < rounds; round++) {
      floor.push(measure('read', path));
      full.push(measure('full', path));
      contacts.push(measure('contacts', path));
    }
    for (const { lines, alerts } of full) {
      if (lines !== made.lines || alerts !== made.alerts) throw new Error(`read ${lines} lines and ${alerts} alerts`);
    }
    const rate = (runs) => median(runs.map((run) => made.bytes / 1e6 / run.cpu));
    const rss = (runs) => median(runs.map((run) => run.rss));
    console.log(`floor, plain read:  ${rate(floor).toFixed(0)} MB per CPU-second, ${rss(floor).toFixed(0)} MB RSS`);
    console.log(`eve source:         ${rate(full).toFixed(0)} MB per CPU-second, ${rss(full).toFixed(0)} MB RSS`);
    console.log(`ratio to the floor: ${(rate(full) / rate(floor)).toFixed(2)}`);
    console.log(
      `with contacts:      ${rate(contacts).toFixed(0)} MB per CPU-second, ${contacts[0].contacts} records, ratio to without ${(rate(contacts) / rate(full)).toFixed(2)}`,
    );
    const latency = measure('latency', join(directory, 'latency.json'), 300);
    const ms = (value) => value.toFixed(2);
    console.log(
      `line written to alert handed on: p50 ${ms(latency.p50)} p90 ${ms(latency.p90)} p99 ${ms(latency.p99)} max ${ms(latency.max)} ms; idle CPU ${ms(latency.idlePercent)} %`,
    );
    const busy = measure('busy', join(directory, 'busy.json'), 5000);
    console.log(`following ${busy.rate.toFixed(0)} single writes a second: ${ms(busy.percent)} % of a core`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const [, , first, name, ...args] = process.argv;
if (first === '--measure') {
  const result = await measurements[name](...args);
  const rss = process.resourceUsage().maxRSS / 1024;
  if (name !== 'write' && name !== 'stream') process.stdout.write(JSON.stringify({ ...result, rss }));
} else {
  await main(Number(first ?? 500), Number(name ?? 9));
}
