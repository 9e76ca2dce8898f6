import type { Endpoint, EveAlert } from '../suricata/eve-alert.js';
import type { RuleFacts } from './context.js';
import { guessServer } from './server-ports.js';

/** Which end of the packet opened the flow and what told so, or why nothing did. */
export type Opener =
  | { readonly end: 'src' | 'dest'; readonly by: string }
  | { readonly end: null; readonly kind: 'direction_unknown' | 'contradiction'; readonly detail: string };

const BY_FLOW = { src: { end: 'src', by: 'flow initiator' }, dest: { end: 'dest', by: 'flow initiator' } } as const;
const BY_DIRECTION = {
  to_server: { end: 'src', by: 'direction to_server' },
  to_client: { end: 'dest', by: 'direction to_client' },
} as const;
const BY_RULE = {
  to_server: { end: 'src', by: 'rule flow:to_server' },
  to_client: { end: 'dest', by: 'rule flow:to_client' },
} as const;

/**
 * Who opened the flow, from the surest source to the weakest: the flow's own
 * record (Suricata 7 and later), the packet's direction, the `flow:` keyword of
 * the rule, a server port on one side only.
 *
 * The first three tell who was seen first: a rule's direction is judged by it too.
 * A sensor that joins a connection in the
 * middle takes the server for the initiator, so an "initiator" whose port is a
 * server's and whose peer has a port of clients is contradicted by them.
 */
export function findOpener(alert: EveAlert, src: Endpoint, dest: Endpoint, rule: RuleFacts | null): Opener {
  const told = seenFirst(alert, src, dest) ?? (rule === null || rule.flow === null ? null : BY_RULE[rule.flow]);
  if (told !== null) {
    if (told.end === null || alert.proto !== 'TCP') return told;
    const [from, to] = told.end === 'src' ? [src, dest] : [dest, src];
    if (guessServer(from.port, to.port) !== 'src') return told;
    const known = told.by.startsWith('rule') ? `opened it by the ${told.by}` : 'was seen first';
    const detail = `${from.address} ${known}, but from the server port ${from.port} to the client port ${to.port}: the connection may be older than the sensor's view of it`;
    return { end: null, kind: 'contradiction', detail };
  }
  const server = guessServer(src.port, dest.port);
  if (server === 'src') return { end: 'dest', by: `server port ${src.port}` };
  if (server === 'dest') return { end: 'src', by: `server port ${dest.port}` };
  const { ruleSource } = alert;
  const named = ruleSource === null ? '' : `; the rule names ${ruleSource} as the source, which alone is not enough`;
  const detail = `no flow initiator, direction, rule or server port says who opened the flow${named}`;
  return { end: null, kind: 'direction_unknown', detail };
}

/** What the record itself says, or `null` when it says nothing. */
function seenFirst({ direction, flow }: EveAlert, src: Endpoint, dest: Endpoint): Opener | null {
  const first = flow?.src ?? null;
  if (first === null) return direction === null ? null : BY_DIRECTION[direction];
  const end = first.address === src.address ? 'src' : first.address === dest.address ? 'dest' : null;
  const other = flow?.dest ?? null;
  if (end === null || (other !== null && other.address !== (end === 'src' ? dest : src).address)) {
    const ends = other === null ? first.address : `${first.address} and ${other.address}`;
    return { end: null, kind: 'contradiction', detail: `the flow is of ${ends}, the packet is not` };
  }
  if (direction !== null && BY_DIRECTION[direction].end !== end) {
    const detail = `direction ${direction} and the flow's initiator ${first.address} disagree`;
    return { end: null, kind: 'contradiction', detail };
  }
  return BY_FLOW[end];
}
