// Watches the kernel's sets: node lab-watch.mjs ADDRESS... Each address has to come into lab-seen4 or lab-seen6, by its
// first packet, and may come into a ban set then. Prints one line of JSON for each: { address, what, at }, `at` in
// milliseconds since 1970. A process of its own, since the one that drives the attacks waits for programs.
import { setTimeout as pause } from 'node:timers/promises';
import { prefix } from '../../dist/net/prefix.js';
import { IpsetClient } from '../../dist/netlink/ipset.js';

const LOOK_MS = 1;
const ipset = IpsetClient.open();
const waiting = new Map();
for (const address of process.argv.slice(2)) {
  const family = address.includes(':') ? 6 : 4;
  waiting.set(address, { family, prefix: prefix(`${address}/${family === 4 ? 32 : 128}`) });
}
const seen = new Map();
const counts = new Map();
const now = () => performance.timeOrigin + performance.now();
const tell = (address, what) => process.stdout.write(`${JSON.stringify({ address, what, at: now() })}\n`);

for (;;) {
  for (const family of [4, 6]) {
    const set = `lab-seen${family}`;
    const { elements: entries } = ipset.header(set);
    if (entries === counts.get(set)) continue;
    counts.set(set, entries);
    for (const [address, one] of waiting) {
      if (one.family !== family || !ipset.test(set, one.prefix)) continue;
      tell(address, 'first');
      waiting.delete(address);
      seen.set(address, one);
    }
  }
  for (const [address, one] of seen) {
    if (!ipset.test(`barricata${one.family}`, one.prefix)) continue;
    tell(address, 'banned');
    seen.delete(address);
  }
  await pause(LOOK_MS);
}
