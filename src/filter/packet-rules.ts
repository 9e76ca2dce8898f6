import type { PacketRule } from '../config/config.js';
import { type Packet, PROTOCOL } from '../net/packet.js';
import { type Prefix, prefixOf } from '../net/prefix.js';

/** Words of one prefix in `#prefixes`: family, four of the address, four of the mask. */
const PREFIX_WORDS = 9;
/** Words of one rule in `#rules`, and what each holds. */
const RULE_WORDS = 16;
const [PROTOCOL_IS, FAMILY_IS, HEADER_NEEDED, FLAG_MASK, FLAG_VALUE, LARGER, SMALLER] = [0, 1, 2, 3, 4, 5, 6] as const;
/** First and end of the rule's part of `#prefixes`, `#ports` and `#types`, in entries. */
const [FROM, FROM_END, TO, TO_END, SPORT, SPORT_END, DPORT, DPORT_END, TYPES] = [
  7, 8, 9, 10, 11, 12, 13, 14, 15,
] as const;
const ANY = -1;
/** 256 bits. */
const TYPE_WORDS = 8;

/**
 * The operator's own packet rules (`filter.rules`). They are laid out once in
 * flat tables of numbers, and a packet is compared with them in order: the
 * first rule of which every condition holds decides. Nothing is allocated for
 * a packet, and a rule costs its first condition that does not hold.
 *
 * A packet without its transport header (a later fragment, a cut one) has no
 * ports, flags and types: rules that name any of those pass it over.
 */
export class PacketRules {
  readonly size: number;
  /** Packets that each rule decided. */
  readonly hits: Float64Array;
  readonly #rules: Int32Array;
  readonly #prefixes: Int32Array;
  /** Lowest and highest of each range. */
  readonly #ports: Uint16Array;
  readonly #types: Int32Array;

  constructor(rules: readonly PacketRule[]) {
    this.size = rules.length;
    this.hits = new Float64Array(rules.length);
    this.#rules = new Int32Array(rules.length * RULE_WORDS);
    const prefixes: number[] = [];
    const ports: number[] = [];
    const types: number[] = [];
    rules.forEach((rule, index) => {
      const words = this.#rules.subarray(index * RULE_WORDS, (index + 1) * RULE_WORDS);
      words[PROTOCOL_IS] = rule.protocol === null ? ANY : PROTOCOL_OF[rule.protocol];
      words[FAMILY_IS] = rule.protocol === 'icmp' ? 4 : rule.protocol === 'icmpv6' ? 6 : ANY;
      words[HEADER_NEEDED] = needsHeader(rule) ? 1 : 0;
      words[FLAG_MASK] = rule.flags?.mask ?? 0;
      words[FLAG_VALUE] = rule.flags?.value ?? 0;
      words[LARGER] = rule.largerThan ?? ANY;
      words[SMALLER] = rule.smallerThan ?? ANY;
      const part = (table: number[], width: number, add: () => void, first: number, end: number) => {
        words[first] = table.length / width;
        add();
        words[end] = table.length / width;
      };
      part(prefixes, PREFIX_WORDS, () => prefixes.push(...rule.from.flatMap(prefixWords)), FROM, FROM_END);
      part(prefixes, PREFIX_WORDS, () => prefixes.push(...rule.to.flatMap(prefixWords)), TO, TO_END);
      part(ports, 2, () => ports.push(...rule.sourcePorts.flat()), SPORT, SPORT_END);
      part(ports, 2, () => ports.push(...rule.targetPorts.flat()), DPORT, DPORT_END);
      words[TYPES] = rule.icmpTypes.length === 0 ? ANY : types.length;
      if (rule.icmpTypes.length > 0) types.push(...bitsOf(rule.icmpTypes));
    });
    this.#prefixes = Int32Array.from(prefixes);
    this.#ports = Uint16Array.from(ports);
    this.#types = Int32Array.from(types);
  }

  /** The position of the rule that decides about a parsed packet, and counts it there; -1 when none does. */
  match(packet: Packet): number {
    for (let index = 0, at = 0; index < this.size; index++, at += RULE_WORDS) {
      if (!this.#holds(at, packet)) continue;
      this.hits[index] = (this.hits[index] as number) + 1;
      return index;
    }
    return -1;
  }

  #holds(at: number, packet: Packet): boolean {
    const rules = this.#rules;
    const protocol = rules[at + PROTOCOL_IS] as number;
    if (protocol !== ANY && protocol !== packet.protocol) return false;
    const family = rules[at + FAMILY_IS] as number;
    // Without addresses there is nothing to go by.
    if (family === ANY ? packet.family === 0 : family !== packet.family) return false;
    if (rules[at + HEADER_NEEDED] === 1 && !packet.transport) return false;
    if ((packet.flags & (rules[at + FLAG_MASK] as number)) !== rules[at + FLAG_VALUE]) return false;
    if (packet.length <= (rules[at + LARGER] as number)) return false;
    const smaller = rules[at + SMALLER] as number;
    if (smaller !== ANY && packet.length >= smaller) return false;
    const types = rules[at + TYPES] as number;
    if (types !== ANY) {
      if ((((this.#types[types + (packet.type >>> 5)] as number) >>> (packet.type & 31)) & 1) === 0) return false;
    }
    const { family: of, source0, source1, source2, source3, target0, target1, target2, target3 } = packet;
    return (
      this.#port(rules[at + DPORT] as number, rules[at + DPORT_END] as number, packet.targetPort) &&
      this.#port(rules[at + SPORT] as number, rules[at + SPORT_END] as number, packet.sourcePort) &&
      this.#address(
        rules[at + FROM] as number,
        rules[at + FROM_END] as number,
        of,
        source0,
        source1,
        source2,
        source3,
      ) &&
      this.#address(rules[at + TO] as number, rules[at + TO_END] as number, of, target0, target1, target2, target3)
    );
  }

  #port(first: number, end: number, port: number): boolean {
    for (let i = first; i < end; i++) {
      if (port >= (this.#ports[2 * i] as number) && port <= (this.#ports[2 * i + 1] as number)) return true;
    }
    return first === end;
  }

  #address(first: number, end: number, family: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const p = this.#prefixes;
    for (let i = first * PREFIX_WORDS; i < end * PREFIX_WORDS; i += PREFIX_WORDS) {
      if (
        p[i] === family &&
        p[i + 1] === (w0 & (p[i + 5] as number)) &&
        p[i + 2] === (w1 & (p[i + 6] as number)) &&
        p[i + 3] === (w2 & (p[i + 7] as number)) &&
        p[i + 4] === (w3 & (p[i + 8] as number))
      ) {
        return true;
      }
    }
    return first === end;
  }
}

const PROTOCOL_OF = { tcp: PROTOCOL.TCP, udp: PROTOCOL.UDP, icmp: PROTOCOL.ICMP, icmpv6: PROTOCOL.ICMPV6 } as const;

/** Whether the rule can only match a packet whose transport header was read. */
export function needsHeader({ flags, sourcePorts, targetPorts, icmpTypes }: PacketRule): boolean {
  return flags !== null || sourcePorts.length + targetPorts.length + icmpTypes.length > 0;
}

function prefixWords({ family, w0, w1, w2, w3, length }: Prefix): number[] {
  const mask = prefixOf({ family, w0: -1, w1: -1, w2: -1, w3: -1 }, length);
  return [family, w0, w1, w2, w3, mask.w0, mask.w1, mask.w2, mask.w3];
}

function bitsOf(types: readonly number[]): number[] {
  const bits = new Array<number>(TYPE_WORDS).fill(0);
  for (const type of types) bits[type >>> 5] = (bits[type >>> 5] ?? 0) | (1 << (type & 31));
  return bits;
}
