/**
 * Drives the packet parser, the packet rules and the whole pipeline with
 * generated packets, and says at the first packet that breaks a promise which
 * one and why. What it drives is handed in (`of`), so that the command runs it
 * on the built program and the tests on the sources.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { LONGEST, Packets } from './generate.mjs';
import { Random } from './random.mjs';
import { reference } from './reference.mjs';

/** Every detector on, with limits that random traffic exceeds now and then. */
const CONFIG = `
filter:
  syn: { more_than: 5/s per source, during: 2s, then: ban 1m }
  flood: { more_than: 3/s per destination, during: 2s, sources: 5 }
  icmp: { more_than: 5/s per source, during: 2s, then: ban 1m, drop_larger_than: 1024 }
  udp: { more_than: 5/s per source, during: 2s, then: ban 1m }
  scan:
    - { more_than: 10 ports per source, within: 60s, then: ban 1m, between: 22:00-06:00 }
    - { more_than: 30 ports per source, within: 60s, then: ban 2m }
  slow_scan: { more_than: 60 ports per source, within: 1h, then: ban 1m }
  sweep: { more_than: 20 hosts per source, within: 60s, then: ban 1m }
  ping_sweep: { more_than: 20 hosts per source, within: 60s, then: ban 1m }
  stealth: { more_than: 5 ports per source, within: 60s, then: ban 1m }
  ack_scan: { more_than: 10 ports per source, within: 60s, then: ban 1m }
  rules:
    - { proto: tcp, flags: none, dport: [22, 5000-6000], then: reject }
    - { proto: udp, sport: 40000, larger_than: 60, then: drop }
    - { proto: icmpv6, icmp_type: [133, 255], from: "0a0b:0c0d::/32", then: accept }
    - { proto: icmp, icmp_type: 0, smaller_than: 1000, then: drop }
    - { from: [10.11.12.3, 10.11.12.16/29], to: 10.11.12.0/27, then: ban 1m }
    - { larger_than: 65000, then: drop }
    - { to: ["::/8", 0.0.0.0/7], then: reject }
`;

/** Smallest count of a detection that is over the limit, at any hour; 0 where the configuration has no number for it. */
const LEAST = {
  ...{ syn_rate: 11, icmp_rate: 11, udp_rate: 11, port_scan: 11, slow_scan: 61, host_sweep: 21 },
  ...{ ping_sweep: 21, stealth_scan: 6, ack_scan: 11, packet_rule: 1 },
};
const BATCH = 64;
const ROOM = LONGEST + 256;
const FIELDS = [
  ...['family', 'protocol', 'length', 'transport', 'sourcePort', 'targetPort', 'flags', 'type', 'code'],
  ...['source0', 'source1', 'source2', 'source3', 'target0', 'target1', 'target2', 'target3'],
];
/** What a heap may grow by in a campaign: code that is compiled anew, and the pool that detections go through. */
const HEAP_ROOM = 8 << 20;
/** Copies of packets that the collector has not freed yet. */
const ARRAY_ROOM = 1 << 20;
const WARM_UP = 0.2;

class Broken extends Error {}
const claim = (holds, what) => {
  if (!holds) throw new Broken(what);
};

export function runCampaign(of, { packets: total, seed, captures = [], progress = () => {} }) {
  const random = new Random(seed);
  const packets = new Packets(random, captures);
  const run = new Run(of, random);
  const memory = [];
  for (let i = 0; i < total; i++) {
    packets.next();
    try {
      run.packet(packets);
      if (i % BATCH === BATCH - 1) run.batch();
    } catch (error) {
      const bytes = Buffer.from(packets.bytes.subarray(0, packets.captured)).toString('hex');
      const where = `seed ${seed}, packet ${i} (${packets.captured} bytes captured, ${packets.wire} on the wire): ${bytes}`;
      throw new Error(`${error instanceof Broken ? error.message : error.stack}\n${where}`);
    }
    if (i === Math.floor(total * WARM_UP) || i === total - 1) memory.push(memoryNow());
    if (i % 500_000 === 499_999) progress(i + 1);
  }
  const [before, after] = memory;
  claim(after.arrays < before.arrays + ARRAY_ROOM, `arrays grew from ${before.arrays} to ${after.arrays} bytes`);
  claim(after.heap < before.heap + HEAP_ROOM, `the heap grew from ${before.heap} to ${after.heap} bytes`);
  return { packets: total, seed, ...run.seen, memory: { before, after } };
}

class Run {
  /** What came up, so that a campaign that reaches nothing is seen. */
  seen = {
    outcomes: { ok: 0, fragment: 0, truncated: 0, malformed: 0 },
    verdicts: {},
    detections: {},
    floods: 0,
    rules: [],
  };
  #of;
  #random;
  #packet;
  #other;
  #pipeline;
  #rules;
  #written;
  #verdicts;
  /** Two rooms around the packet, filled with different bytes. */
  #rooms = [new Uint8Array(ROOM).fill(0x00), new Uint8Array(ROOM).fill(0xff)];
  #now = 1000;
  #wall = Date.UTC(2026, 10, 23, 21, 30);

  constructor(of, random) {
    this.#of = of;
    this.#random = random;
    const { filter } = of.parseConfig(CONFIG, 'fuzz');
    this.#packet = new of.Packet();
    this.#other = new of.Packet();
    const seed = random.word();
    // Some sources completed connections before.
    const connections = {
      known: true,
      isKnownGood: ({ source0, source1 }) => ((source0 ^ source1) & 1) === 0,
      expectRefusals: () => undefined,
    };
    this.#pipeline = new of.Pipeline({ config: filter, seed, connections });
    this.#pipeline.settle(0);
    this.#pipeline.tick(this.#now, this.#wall);
    this.#rules = new of.PacketRules(filter.rules);
    this.#written = filter.rules;
    this.#verdicts = Object.values(of.VERDICT);
    this.seen.rules = this.#rules.hits;
  }

  packet({ bytes, captured, wire }) {
    const [zeros, ones] = this.#rooms;
    const starts = [this.#random.below(128), this.#random.below(128)];
    zeros.set(bytes.subarray(0, captured), starts[0]);
    ones.set(bytes.subarray(0, captured), starts[1]);
    const outcome = this.#packet.parse(zeros, starts[0], captured, wire);
    const again = this.#other.parse(ones, starts[1], captured, wire);
    claim(outcome === again, `the outcome depends on what lies around the packet: ${outcome} or ${again}`);
    for (const field of FIELDS) {
      const [one, two] = [this.#packet[field], this.#other[field]];
      claim(one === two, `${field} depends on what lies around the packet: ${one} or ${two}`);
    }
    this.#ranges(outcome);
    const found = reference(bytes.slice(0, captured), wire);
    this.#same(outcome, found);
    this.#match(found);

    const verdict = this.#pipeline.judge(ones, starts[1], captured, wire);
    claim(this.#verdicts.includes(verdict), `verdict ${verdict}`);
    claim(outcome === 0 || outcome === 1 || verdict === this.#of.VERDICT.ACCEPT, 'dropped what could not be parsed');
    this.seen.verdicts[verdict] = (this.seen.verdicts[verdict] ?? 0) + 1;
    this.seen.outcomes[['ok', 'fragment', 'truncated', 'malformed'][outcome]] += 1;
    // Some attempts are completed, some refused.
    if (outcome === 0 && this.#random.once(16)) this.#pipeline.completed(this.#packet);
    if (outcome === 0 && this.#random.once(16)) this.#pipeline.refused(this.#packet);

    for (let i = 0; i < captured; i++) {
      if (zeros[starts[0] + i] !== bytes[i] || ones[starts[1] + i] !== bytes[i])
        claim(false, 'the packet was written to');
    }
    zeros.fill(0x00, starts[0], starts[0] + captured);
    ones.fill(0xff, starts[1], starts[1] + captured);
  }

  #ranges(outcome) {
    const p = this.#packet;
    const whole = (value, most) => Number.isInteger(value) && value >= 0 && value <= most;
    claim([0, 1, 2, 3].includes(outcome), `outcome ${outcome}`);
    claim([0, 4, 6].includes(p.family), `family ${p.family}`);
    claim(outcome > 1 || p.family !== 0, 'parsed without a family');
    claim(whole(p.protocol, 255) && whole(p.flags, 255) && whole(p.type, 255) && whole(p.code, 255), 'a byte');
    claim(whole(p.sourcePort, 65_535) && whole(p.targetPort, 65_535), 'a port');
    claim(whole(p.length, 2 ** 32) && (p.family === 0 || p.length >= (p.family === 4 ? 20 : 40)), `length ${p.length}`);
    for (const field of FIELDS.slice(9)) claim(p[field] === (p[field] | 0), `${field} is no word`);
    const rest = p.family === 6 ? 0 : p.source1 | p.source2 | p.source3 | p.target1 | p.target2 | p.target3;
    claim(rest === 0, 'words of an address that is shorter');
  }

  #same(outcome, found) {
    const p = this.#packet;
    claim(outcome === found.outcome, `outcome ${outcome}, by the standards ${found.outcome}`);
    for (const field of FIELDS.slice(0, 9)) {
      claim(p[field] === found[field], `${field} is ${p[field]}, by the standards ${found[field]}`);
    }
    for (const side of ['source', 'target']) {
      for (let i = 0; i < found[side].length; i++) {
        const byte = (p[`${side}${i >> 2}`] >>> (24 - 8 * (i & 3))) & 255;
        claim(byte === found[side][i], `byte ${i} of the ${side} is ${byte}, in the packet ${found[side][i]}`);
      }
    }
  }

  #match(found) {
    const decided = this.#rules.match(this.#packet);
    const expected = this.#written.findIndex((rule) => holds(rule, found));
    claim(decided === expected, `packet rule ${decided} decides, read one by one it is ${expected}`);
  }

  /** What lies between two batches: time, detections. */
  batch() {
    this.#now += this.#random.below(this.#random.once(400) ? 100_000 : 10);
    this.#wall += 7;
    this.#pipeline.tick(this.#now, this.#wall);
    for (const one of this.#pipeline.take()) this.#detection(one);
    for (const one of this.#pipeline.takeFloods()) this.#flood(one);
  }

  #detection(one) {
    const shown = JSON.stringify(one);
    const source = this.#of.parsePrefix(one.source);
    claim(!('problem' in source), `the source is no network: ${shown}`);
    const lengths = source.family === 4 ? [32] : [64, 128];
    claim(lengths.includes(source.length), `the source is as wide as no source: ${shown}`);
    claim(this.#of.parseAddress(one.target) === one.target, `the target is no address: ${shown}`);
    claim(Number.isFinite(one.count) && one.count >= LEAST[one.detector], `the count is not over the limit: ${shown}`);
    claim(Number.isInteger(one.ban) && one.ban > 0 && one.window >= 0, `ban or window: ${shown}`);
    claim(one.window > 0 || one.detector === 'packet_rule', `no window: ${shown}`);
    claim((one.detector === 'packet_rule') === (one.rule !== undefined), `the rule: ${shown}`);
    claim(one.proof === null || one.proof === 'conntrack', `proof: ${shown}`);
    claim([null, true, false].includes(one.knownGood), `known good: ${shown}`);
    claim(Math.abs(one.at - this.#wall) < 1000, `time: ${shown}`);
    this.seen.detections[one.detector] = (this.seen.detections[one.detector] ?? 0) + 1;
  }

  #flood(one) {
    const shown = JSON.stringify(one);
    claim(this.#of.parseAddress(one.target) === one.target, `the target is no address: ${shown}`);
    claim(Number.isInteger(one.port) && one.port >= 0 && one.port <= 65_535, `port: ${shown}`);
    claim(one.state === 'on' || one.state === 'off', `state: ${shown}`);
    claim(Number.isFinite(one.perSecond) && one.perSecond >= 0, `rate: ${shown}`);
    claim(Number.isFinite(one.sources) && one.sources >= 0, `sources: ${shown}`);
    this.seen.floods += 1;
  }
}

const NUMBER = { tcp: [6, 4, 6], udp: [17, 4, 6], icmp: [1, 4], icmpv6: [58, 6] };

/** A packet rule as its conditions read, on what the reference found. */
function holds(rule, found) {
  const { family, transport, length } = found;
  if (family === 0) return false;
  const [number, ...families] = rule.protocol === null ? [found.protocol, 4, 6] : NUMBER[rule.protocol];
  const among = (ranges, value) =>
    ranges.length === 0 || (transport && ranges.some(([low, high]) => value >= low && value <= high));
  return (
    number === found.protocol &&
    families.includes(family) &&
    (rule.flags === null || (transport && (found.flags & rule.flags.mask) === rule.flags.value)) &&
    (rule.from.length === 0 || rule.from.some((net) => inside(net, family, found.source))) &&
    (rule.to.length === 0 || rule.to.some((net) => inside(net, family, found.target))) &&
    among(rule.sourcePorts, found.sourcePort) &&
    among(rule.targetPorts, found.targetPort) &&
    (rule.icmpTypes.length === 0 || (transport && rule.icmpTypes.includes(found.type))) &&
    (rule.largerThan === null || length > rule.largerThan) &&
    (rule.smallerThan === null || length < rule.smallerThan)
  );
}

function inside(net, family, address) {
  if (net.family !== family) return false;
  const words = [net.w0, net.w1, net.w2, net.w3];
  for (let bit = 0; bit < net.length; bit++) {
    const wanted = (words[bit >> 5] >>> (31 - (bit & 31))) & 1;
    if (wanted !== ((address[bit >> 3] >>> (7 - (bit & 7))) & 1)) return false;
  }
  return true;
}

let collect = null;

/** Bytes in use after a collection of what is not. */
function memoryNow() {
  if (collect === null) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc');
  }
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return { heap: heapUsed, arrays: arrayBuffers };
}
