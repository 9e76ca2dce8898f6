// Inside the server's namespace: node set-probe.mjs SOCKET SAMPLES
import { Redis } from 'ioredis';
import { prefix } from '../../dist/net/prefix.js';
import { IpsetClient } from '../../dist/netlink/ipset.js';
import { quantile } from './lab.mjs';

const [path, samples] = [process.argv[2], Number(process.argv[3])];
const redis = new Redis({ path });
await redis.ping();
const kernel = IpsetClient.open();
kernel.create('probe', { family: 4, maxelem: 100_000, counters: true, timeout: 0 });
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function sample(set, subject, act) {
  const began = performance.now();
  act();
  while (!kernel.test(set, subject)) {
    if (performance.now() - began > 10_000) return Number.NaN;
    await turn();
  }
  return performance.now() - began;
}
const addressOf = (i) => prefix(`203.0.${112 + (i >>> 8)}.${i & 255}`);
const floor = [];
const wish = [];
const gone = [];
for (let i = 0; i < samples; i++) {
  const subject = addressOf(i);
  floor.push(await sample('probe', subject, () => kernel.add('probe', 4, [{ prefix: subject, timeout: 3600 }])));
  wish.push(
    await sample('barricata4', subject, () => void redis.set(`barricata:ban:${subject.text}`, 'bench', 'EX', 3600)),
  );
  await new Promise((resolve) => setTimeout(resolve, 2 + (i % 5)));
}
for (let i = 0; i < Math.min(samples / 4, 200); i++) {
  const subject = addressOf(i);
  const began = performance.now();
  void redis.del(`barricata:ban:${subject.text}`);
  while (kernel.test('barricata4', subject) && performance.now() - began < 10_000) await turn();
  gone.push(performance.now() - began);
}
const row = (name, values) =>
  console.log(
    `${name.padEnd(36)} n ${String(values.length).padStart(5)}  p50 ${quantile(values, 0.5).toFixed(3)} ms  p90 ${quantile(values, 0.9).toFixed(3)}  p99 ${quantile(values, 0.99).toFixed(3)}  max ${Math.max(...values).toFixed(2)}`,
  );
row('floor: netlink add from this process', floor);
row('barricata: SET in Redis to element', wish);
row('barricata: DEL in Redis to no element', gone);
console.log(
  `ratio of the medians ${(quantile(wish, 0.5) / quantile(floor, 0.5)).toFixed(0)}; reach: p50 1 ms, p99 5 ms`,
);
kernel.destroy('probe');
redis.disconnect();
