/**
 * What does history cost, and how soon does it answer?
 *
 *   node bench/history.mjs [SECONDS] [PER_SECOND]        needs `npm run build`
 *
 * Writes SECONDS (3600) of alerts at PER_SECOND (500) through the real recorder,
 * with a clock that is moved, and gives the segment to each of the other 23 hours
 * of a day by hard links, so that a question has a whole day to go over. Twice:
 * `repeating`, where 70 % of the alerts are of 40 sources that go on and on and the
 * rest of 100,000 others; and `all different`, where no alert is like another, which is
 * the worst case. Each question in a process of its own, with its largest memory.
 * The floor is reading the index files of the day from the page cache.
 */
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
const HOUR = 3_600_000;
const HOURS = 24;
const BEGIN = Date.UTC(2026, 10, 23, 0);
const LIMIT_SECONDS = 5;
const SIDS = 300;

/** Multiplying by an odd number visits every 32-bit value once. */
const scattered = (n) => Math.imul(n, 0x9e3779b1) >>> 0;
const address = (n) => `${1 + ((n >>> 24) % 223)}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;

function alertOf(n, shape, at) {
  const repeats = shape === 'repeating' && scattered(n) % 10 < 7;
  const source = repeats ? n % 40 : shape === 'repeating' ? scattered(n) % 100_000 : n;
  const sid = 2_000_000 + (repeats ? source % 5 : scattered(source) % SIDS);
  const src = address(scattered(source + 1));
  const end = (ip, port) => ({ address: ip, port });
  const [from, to] = [end(src, 1024 + (n % 60_000)), end(`10.0.0.${n % 20}`, 443)];
  return {
    at,
    gid: 1,
    sid,
    rev: 3,
    signature: `ET WEB_SERVER Possible attempt number ${sid}`,
    category: 'Web Application Attack',
    severity: 1,
    action: 'allowed',
    verdict: 'alert',
    src: from,
    dest: to,
    proto: 'TCP',
    appProto: 'http',
    direction: 'to_server',
    flowId: scattered(n) * 1000 + (n % 1000),
    flow: {
      src: from,
      dest: to,
      packetsToServer: 3 + (n % 40),
      packetsToClient: 2 + (n % 30),
      bytesToServer: 300 + (scattered(n) % 9000),
      bytesToClient: 200 + (scattered(n) % 90_000),
      state: null,
      start: at - (n % 5000),
    },
    ruleSource: null,
    ruleTarget: null,
    metadata: { attack_target: ['Server'], signature_severity: ['Major'], created_at: ['2014_09_25'] },
    xff: null,
    tunnelled: false,
    icmpType: null,
    packetSource: 'wire/pcap',
  };
}

function decidedOf(alert, n) {
  const { src, dest, sid, signature, flow } = alert;
  const rare = sid === 2_000_000 + SIDS - 1 && n % 50_000 < 250;
  return {
    alert,
    detection: null,
    outcome: rare ? 'stored' : 'none',
    policyVersion: '0123456789ab',
    decision: {
      kind: rare ? 'ban' : 'note',
      ...(rare ? { ban: { until: alert.at + HOUR } } : { why: 'no policy line matched' }),
      candidate: src.address,
      steps: [
        { check: 'engine event', result: 'no', detail: `sid ${sid} ${signature}` },
        { check: 'age', result: 'current', detail: 'seen as it happened' },
        {
          check: 'attribution',
          result: 'inbound',
          detail: `${src.address} opened the flow to ${dest.address} (flow initiator)`,
        },
        {
          check: 'evidence',
          result: 'app',
          detail: `TCP, http, ${flow.packetsToServer} packets in, ${flow.packetsToClient} back`,
        },
        { check: 'protection', result: 'none', detail: `nothing protects ${src.address}` },
        { check: 'policy', result: 'note', detail: 'no line matched: otherwise' },
      ],
    },
  };
}

const measurements = {
  async write(directory, shape, seconds, perSecond) {
    const { Recorder } = await import('../dist/history/recorder.js');
    const { createLog } = await import('../dist/base/log.js');
    let now = BEGIN;
    const clock = { now: () => now, monotonic: () => now, after: () => () => {} };
    const recorder = new Recorder({
      directory,
      bounds: { keep: 7 * 86_400, atMost: 64 * 2 ** 30 },
      isInside: ({ w0 }) => w0 >>> 24 === 10,
      clock,
      log: createLog('silent'),
    });
    let making = 0;
    const cpu = process.cpuUsage();
    for (let n = 0; n < seconds * perSecond; ) {
      const made = process.cpuUsage();
      const batch = [];
      for (const end = n + 5 * perSecond; n < end; n++) {
        const alert = alertOf(n, shape, BEGIN + Math.floor((n / perSecond) * 1000));
        batch.push(decidedOf(alert, n));
      }
      now = Math.min(now + 5000, BEGIN + HOUR - 1);
      const madeIn = process.cpuUsage(made);
      making += madeIn.user + madeIn.system;
      for (const one of batch) recorder.add(one);
      for (let i = 0; i < 1000; i++) {
        const port = 1 + ((n + i) % 1000);
        recorder.addContact({
          hour: BEGIN,
          srcWord: scattered(1 + ((n + i) % 5000)) | 0,
          srcText: null,
          destWord: (10 << 24) | (i % 20),
          destText: null,
          port,
          flows: 1,
          bytes: 1000,
          replies: 1,
          answered: true,
        });
      }
      await recorder.flush();
    }
    await recorder.stop();
    const spent = process.cpuUsage(cpu);
    const { rows, lost } = recorder.status();
    if (lost.alerts > 0) throw new Error(`${lost.alerts} alerts lost`);
    return { cpu: (spent.user + spent.system - making) / 1e6, rows };
  },

  /** The floor: every index file into memory. */
  async index(directory) {
    const begin = performance.now();
    let bytes = 0;
    for (const name of readdirSync(directory)) {
      if (name.endsWith('.alerts.index')) bytes += readFileSync(join(directory, name)).length;
    }
    return { seconds: (performance.now() - begin) / 1000, bytes };
  },

  async ask(directory, question) {
    const { History } = await import('../dist/history/history.js');
    const { prefix } = await import('../dist/net/prefix.js');
    const history = new History(directory);
    const { of, limit } = JSON.parse(question);
    const query = { ...of, ...(of.address && { address: prefix(of.address) }) };
    const begin = performance.now();
    const answer = of.contacts ? await history.contacts(query) : await history.alerts({ ...query, limit });
    const seconds = (performance.now() - begin) / 1000;
    if (answer.damaged > 0) throw new Error('damaged');
    return { seconds, rows: (answer.contacts ?? answer.rows).length };
  },

  async all(directory) {
    const { History } = await import('../dist/history/history.js');
    const begin = performance.now();
    let rows = 0;
    let alerts = 0;
    for await (const part of new History(directory).everyAlert({})) {
      rows += part.length;
      for (const row of part) alerts += row.count;
    }
    return { seconds: (performance.now() - begin) / 1000, rows, alerts };
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

/** The other hours of the day, by links to the one that was written. */
function fillDay(directory) {
  for (const name of readdirSync(directory)) {
    for (let hour = 1; hour < HOURS; hour++) {
      linkSync(join(directory, name), join(directory, name.replace('T00', `T${String(hour).padStart(2, '0')}`)));
    }
  }
}

function main(seconds, perSecond) {
  let failed = false;
  for (const shape of ['repeating', 'all different']) {
    const directory = mkdtempSync(join(tmpdir(), 'barricata-history-'));
    try {
      const store = join(directory, 'history');
      mkdirSync(store);
      const alerts = seconds * perSecond;
      const written = measure('write', store, shape, seconds, perSecond);
      const bytes = readdirSync(store).reduce((sum, name) => sum + statSync(join(store, name)).size, 0);
      const all = measure('all', store);
      fillDay(store);
      const share = (written.cpu / seconds) * 100;
      console.log(`${shape}: ${alerts} alerts in ${written.rows} rows, then 24 times as many by links`);
      console.log(
        `  writing: ${((written.cpu / alerts) * 1e6).toFixed(1)} us of CPU an alert, ${share.toFixed(2)} % of a core at ${perSecond}/s; ` +
          `${(bytes / alerts).toFixed(1)} bytes an alert, ${((bytes * HOURS) / 2 ** 20).toFixed(0)} MiB a day`,
      );
      const floor = measure('index', store);
      console.log(
        `  floor, reading ${(floor.bytes / 2 ** 20).toFixed(0)} MiB of index files: ${floor.seconds.toFixed(3)} s`,
      );
      const busy = address(scattered(1));
      const contactAddress = [24, 16, 8, 0].map((bits) => (scattered(6) >>> bits) & 255).join('.');
      const questions = [
        ['an address seen all the time, newest 1,000 rows', { address: busy }, 1000],
        ['an address never seen', { address: '203.0.113.200' }, 1000],
        ['an inside host, newest 1,000 rows', { address: '10.0.0.5' }, 1000],
        ['a signature, newest 1,000 rows', { sid: 2_000_000 }, 1000],
        ['bans of one signature', { sid: 2_000_000 + SIDS - 1, decision: 'ban' }, 1000],
        [
          'a network (/16), newest 1,000 rows',
          { address: `${address(scattered(5)).split('.').slice(0, 2).join('.')}.0.0/16` },
          1000,
        ],
        ['everything, newest 1,000 rows', {}, 1000],
        ['inside hosts that spoke to an address', { address: contactAddress, contacts: true }, 0],
      ];
      for (const [name, of, limit] of questions) {
        const answer = measure('ask', store, JSON.stringify({ of, limit }));
        const late = answer.seconds > LIMIT_SECONDS;
        failed ||= late;
        console.log(
          `  ${name}: ${answer.seconds.toFixed(3)} s, ${(answer.seconds / floor.seconds).toFixed(1)} x the floor, ${answer.rows} rows, ${answer.rss.toFixed(0)} MB RSS${late ? '  TOO LATE' : ''}`,
        );
      }
      console.log(
        `  every row of an hour, as previews go over them: ${all.seconds.toFixed(1)} s for ${all.rows} rows (${all.alerts} alerts), ${(all.alerts / all.seconds / 1000).toFixed(0)} thousand alerts/s, ${all.rss.toFixed(0)} MB RSS`,
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  process.exitCode = failed ? 1 : 0;
}

const [, , first, name, ...args] = process.argv;
if (first === '--measure') {
  const result = await measurements[name](...args.map((arg) => (/^\d+$/.test(arg) ? Number(arg) : arg)));
  process.stdout.write(JSON.stringify({ ...result, rss: process.resourceUsage().maxRSS / 1024 }));
} else {
  main(Number(first ?? 3600), Number(name ?? 500));
}
