// How long from the moment an alert line is in eve.json until the attacker's
// packets are dropped? Measured twice: the first alerts of a process run code
// that V8 has not compiled yet, and a daemon runs for weeks. The floor is the
// same probe without Barricata: a waiting `ipset -` is told to add the address
// by the probe itself.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Lab, quantile, SERVER } from './support/lab.mjs';

const SAMPLES = Number(process.env.SAMPLES ?? 1000);
const probe = fileURLToPath(new URL('support/probe.py', import.meta.url));
const lab = new Lab('latency');
try {
  const eve = `${lab.folder}/eve.json`;
  writeFileSync(eve, '');
  lab.run(lab.server, 'ipset', 'create', 'probe', 'hash:net', 'timeout', '0');
  lab.run(
    lab.server,
    'iptables',
    '-t',
    'raw',
    '-A',
    'PREROUTING',
    '-m',
    'set',
    '--match-set',
    'probe',
    'src',
    '-j',
    'DROP',
  );
  const measure = async (first, kind, where) => {
    const text = await lab.runAside(lab.attacker, 'python3', probe, SERVER, first, String(SAMPLES), kind, where);
    const out = text.trim().split('\n');
    const never = out.filter((line) => line === 'never').length;
    return { never, values: out.filter((line) => line !== 'never').map(Number) };
  };
  const floor = await measure('203.0.112.1', 'ipset', lab.server);
  await lab.daemon(lab.config());
  const fresh = await measure('203.0.116.1', 'eve', eve);
  const barricata = await measure('203.0.120.1', 'eve', eve);
  const row = (name, { never, values }) =>
    console.log(
      `${name.padEnd(40)} n ${String(values.length).padStart(5)}  p50 ${quantile(values, 0.5).toFixed(2)} ms  p90 ${quantile(values, 0.9).toFixed(2)}  p99 ${quantile(values, 0.99).toFixed(2)}  max ${Math.max(...values).toFixed(2)}  never ${never}`,
    );
  row('floor: the probe tells ipset itself', floor);
  row('barricata: the first alerts of its life', fresh);
  row('barricata: alert line to drop', barricata);
  console.log(
    `ratio of the medians ${(quantile(barricata.values, 0.5) / quantile(floor.values, 0.5)).toFixed(1)}; reach: p50 2 ms, p99 10 ms`,
  );
} finally {
  await lab.clear();
}
