import type { Family } from '../net/address.js';
import { REJECT_MARK } from '../net/mark.js';
import { HOT_SETS } from '../netlink/limits.js';
import { keptRate } from './hash-limit.js';
import { type Iptables, rulesError } from './iptables.js';
import { PROBE_CHAIN, restoreText, type Table } from './rules-text.js';

/** What a kernel may lack of what the rules of the packet filter use. */
export type Feature =
  | 'queue'
  | 'conntrack'
  | 'hashlimit'
  | 'set_target'
  | 'multiport'
  | 'length'
  | 'notrack'
  | 'synproxy'
  | 'reject';

interface FeatureProbe {
  readonly table: Table;
  /** A rule that only a kernel with the feature takes; it stands in a chain that nobody jumps to. */
  readonly rule: (family: Family) => string;
  /** What does not happen without it, for a note; `null` when nobody notices. */
  readonly without: string | null;
}

const mark = `0x${REJECT_MARK.toString(16)}`;
/** The match of a packet that is to be refused with an answer. */
export const REJECT_MATCH = `-m mark --mark ${mark}/${mark}`;
/** Answers connection attempts in place of the service; needs what `synproxyProblem` looks for. */
export const SYNPROXY_TARGET = '-j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460';

/** In the order in which the notes come. */
export const FEATURES: Readonly<Record<Feature, FeatureProbe>> = {
  queue: { table: 'mangle', rule: () => '-j NFQUEUE --queue-num 0 --queue-bypass', without: null },
  conntrack: {
    table: 'mangle',
    rule: () => '-m conntrack --ctstate NEW',
    without: 'stray ACKs, UDP and rare protocols are not filtered',
  },
  hashlimit: {
    table: 'mangle',
    rule: () => `-m hashlimit --hashlimit-upto ${keptRate(1).text} --hashlimit-name barricata-probe`,
    without: 'queue.at_most and the limit on flooded services are not in force',
  },
  set_target: {
    table: 'mangle',
    rule: (family) => `-p tcp -j SET --add-set ${HOT_SETS[family]} src`,
    without: 'the kernel does not single out sources that exceed their share',
  },
  multiport: { table: 'mangle', rule: () => '-p tcp -m multiport --dports 1,2', without: null },
  length: {
    table: 'mangle',
    rule: () => '-m length --length 0:1',
    without: 'packet rules with larger_than or smaller_than see first packets only',
  },
  notrack: { table: 'raw', rule: () => '-p tcp -j CT --notrack', without: null },
  synproxy: {
    table: 'filter',
    rule: () => `-p tcp -m conntrack --ctstate INVALID ${SYNPROXY_TARGET}`,
    without: null,
  },
  reject: {
    table: 'filter',
    rule: () => `-p tcp ${REJECT_MATCH} -j REJECT --reject-with tcp-reset`,
    without: 'nothing is rejected: what a packet rule rejects is dropped',
  },
};

/**
 * Tries a rule of each feature in a chain that nobody jumps to.
 * @returns what this kernel lacks, with its reason
 * @throws EnforcementError kind `tool_missing`, `not_permitted` or `timeout`
 */
export async function lackingFeatures(iptables: Iptables, family: Family): Promise<Map<Feature, string>> {
  const lacking = new Map<Feature, string>();
  const write = (table: Table, lines: readonly string[]) =>
    iptables.restore(family, restoreText([[table, { lines, missing: [] }]]));
  for (const [feature, { table, rule }] of Object.entries(FEATURES) as [Feature, FeatureProbe][]) {
    const tried = await write(table, [`:${PROBE_CHAIN} - [0:0]`, `-A ${PROBE_CHAIN} ${rule(family)}`]);
    if (tried.code === 0) {
      await write(table, [`-F ${PROBE_CHAIN}`, `-X ${PROBE_CHAIN}`]);
      continue;
    }
    const error = rulesError(family, tried);
    if (error.kind === 'not_permitted' || error.kind === 'timeout') throw error;
    lacking.set(feature, error.message);
  }
  return lacking;
}
