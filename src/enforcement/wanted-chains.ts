import type { Family } from '../net/address.js';
import { REJECT_MATCH, SYNPROXY_TARGET } from './kernel-features.js';
import { isFlooded, type QueueChainOptions, queueChains, SYN } from './queue-chains.js';
import type { WantedChain } from './rules-text.js';
import { setName } from './sets.js';

/**
 * The chains that one family needs.
 * @param packets `null` for no packet filter
 */
export function wantedChains(
  family: Family,
  outbound: boolean,
  packets: Omit<QueueChainOptions, 'family'> | null,
): WantedChain[] {
  const lists = (side: 'src' | 'dst') => [
    `-m set --match-set ${setName('allow', family)} ${side} -j RETURN`,
    `-m set --match-set ${setName('ban', family)} ${side} -j DROP`,
  ];
  // Before the lists, because a flood may well claim to come from an allowed address; the packet goes on to them.
  const notrack = packets?.synproxy ? [`${SYN} ${isFlooded(family)} -j CT --notrack`] : [];
  const chains: WantedChain[] = [
    { table: 'raw', name: 'BARRICATA', from: ['PREROUTING'], rules: [...notrack, ...lists('src')] },
  ];
  if (outbound) chains.push({ table: 'raw', name: 'BARRICATA-OUT', from: ['OUTPUT'], rules: lists('dst') });
  if (packets === null) return chains;
  chains.push(...queueChains({ ...packets, family }));
  if (packets.filter.rules.some(({ then }) => then.kind === 'reject') && packets.has('reject')) {
    chains.push({
      table: 'filter',
      name: 'BARRICATA-REJECT',
      from: ['INPUT', 'FORWARD'],
      rules: [
        `-p tcp ${REJECT_MATCH} -j REJECT --reject-with tcp-reset`,
        `${REJECT_MATCH} -j REJECT --reject-with ${family === 4 ? 'icmp' : 'icmp6'}-port-unreachable`,
      ],
    });
  }
  if (packets.synproxy) {
    const flooded = `-p tcp ${isFlooded(family)} -m conntrack --ctstate`;
    chains.push({
      table: 'filter',
      name: 'BARRICATA-SYNPROXY',
      from: ['INPUT', 'FORWARD'],
      rules: [`${flooded} INVALID,UNTRACKED ${SYNPROXY_TARGET}`, `${flooded} INVALID -j DROP`],
    });
  }
  return chains;
}
