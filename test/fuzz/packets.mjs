/**
 * npm run fuzz -- [--packets 10000000] [--seed N] [--captures FOLDER]      needs `npm run build`
 *
 * Generated and mutated packets against the parser, the packet rules and the
 * pipeline with every detector on, then netlink messages against the queue. It
 * ends at the first packet that breaks a promise, with the packet in hex.
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseConfig } from '../../dist/config/load.js';
import { VERDICT } from '../../dist/filter/detector.js';
import { PacketRules } from '../../dist/filter/packet-rules.js';
import { Pipeline } from '../../dist/filter/pipeline.js';
import { parseAddress } from '../../dist/net/address.js';
import { Packet } from '../../dist/net/packet.js';
import { parsePrefix } from '../../dist/net/prefix.js';
import { Nfqueue } from '../../dist/netlink/nfqueue.js';
import { NetlinkSocket } from '../../dist/netlink/socket.js';
import { runCampaign } from './campaign.mjs';
import { capturesIn } from './captures.mjs';
import { runQueue } from './queue.mjs';

const { values } = parseArgs({
  options: { packets: { type: 'string' }, seed: { type: 'string' }, captures: { type: 'string' } },
});
const packets = Number(values.packets ?? 10_000_000);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!Number.isSafeInteger(packets) || packets < 1 || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run fuzz -- [--packets N] [--seed N] [--captures FOLDER]');
  process.exit(2);
}
const folder = values.captures ?? fileURLToPath(new URL('../../../shared/corpus/live/pcap', import.meta.url));
const captures = existsSync(folder)
  ? readdirSync(folder)
      .filter((name) => name.endsWith('.pcap'))
      .flatMap((name) => capturesIn(`${folder}/${name}`))
  : [];
console.log(`seed ${seed}, ${packets} packets, ${captures.length} captured packets to begin from`);
const start = process.hrtime.bigint();
const seconds = () => (Number(process.hrtime.bigint() - start) / 1e9).toFixed(1);
try {
  const drive = { parseConfig, VERDICT, PacketRules, Pipeline, parseAddress, Packet, parsePrefix };
  const progress = (done) => done % 1_000_000 === 0 && console.log(`${done} packets, ${seconds()} s`);
  const { rules, memory, ...seen } = runCampaign(drive, { packets, seed, captures, progress });
  console.log(JSON.stringify({ ...seen, rules: [...rules], memory }, null, 2));
  const queued = Math.max(1, Math.floor(packets / 10));
  console.log(JSON.stringify({ queue: runQueue({ Nfqueue, NetlinkSocket, VERDICT }, { packets: queued, seed }) }));
  console.log(`${packets} packets without a finding, ${seconds()} s`);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
