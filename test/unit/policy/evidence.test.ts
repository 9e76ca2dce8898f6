import { describe, expect, it } from 'vitest';
import { evidenceOf } from '../../../src/policy/evidence.js';
import type { EveAlert } from '../../../src/suricata/eve-alert.js';
import { alertFrom, contextFor, endpoint } from './support.js';

const context = contextFor({ now: 0 });
type Flow = NonNullable<EveAlert['flow']>;

function proofOf(flow: Partial<Flow>, over: Partial<EveAlert> = {}): string | null {
  const plain = alertFrom({}, over);
  return evidenceOf({ ...plain, flow: { ...(plain.flow as Flow), ...flow } }, context).proof;
}

describe('an application protocol', () => {
  it.each<[string, Partial<Flow>, Partial<EveAlert>, string | null]>([
    [
      'with two packets in and one back proves',
      { packetsToServer: 2, packetsToClient: 1, bytesToClient: 66 },
      {},
      'app',
    ],
    ['with one packet in does not', { packetsToServer: 1 }, {}, null],
    ['with none back does not', { packetsToClient: 0, bytesToClient: 0 }, {}, null],
    ['that failed does not', {}, { appProto: 'failed' }, null],
    ['that was only expected does not', {}, { appProto: 'ftp-data' }, null],
    ['over UDP does not', {}, { proto: 'UDP', appProto: 'dns' }, null],
    ['with only resets back does not', { packetsToServer: 2, packetsToClient: 2, bytesToClient: 108 }, {}, null],
    ['with only resets back, seen without a link layer, does not', { packetsToClient: 1, bytesToClient: 40 }, {}, null],
    ['without byte counts is judged by packets', { bytesToServer: 0, bytesToClient: 0 }, {}, 'app'],
    ['on a connection in the handshake does not', { state: 'syn_recv' }, {}, null],
    ['on a new flow does not', { state: 'new' }, {}, null],
    ['on a closed connection proves', { state: 'closed' }, {}, 'app'],
  ])('%s', (_what, flow, over, proof) => {
    expect(proofOf(flow, over)).toBe(proof);
  });

  it('found when the flow ended proves only with data from the server', () => {
    const flush = { packetSource: 'stream (flow timeout)' };
    expect(proofOf({ packetsToServer: 4, packetsToClient: 3, bytesToClient: 3 * 94 }, flush)).toBeNull();
    expect(proofOf({ packetsToServer: 4, packetsToClient: 3, bytesToClient: 600 }, flush)).toBe('app');
    const ends = { src: endpoint('2001:db8::66', 40_000), dest: endpoint('fc00::1', 80) };
    expect(proofOf({ packetsToClient: 3, bytesToClient: 3 * 114 }, { ...flush, ...ends })).toBeNull();
  });
});

describe('an established flow without an application protocol', () => {
  const raw = { appProto: null };
  it.each<[string, Partial<Flow>, string | null]>([
    ['with payload to the server proves', { packetsToServer: 4, bytesToServer: 456 }, 'flow'],
    ['with bare segments does not', { packetsToServer: 4, bytesToServer: 4 * 70 }, null],
    ['with a SYN full of options and bare segments does not', { packetsToServer: 3, bytesToServer: 98 + 2 * 70 }, null],
    ['with nothing back does not', { packetsToClient: 0, bytesToClient: 0 }, null],
  ])('%s', (_what, flow, proof) => {
    expect(proofOf({ ...flow, state: 'established' }, raw)).toBe(proof);
  });

  it('counts longer headers over IPv6', () => {
    const ends = { src: endpoint('2001:db8::66', 40_000), dest: endpoint('fc00::1', 80) };
    const counts = { state: 'established', packetsToServer: 4 };
    expect(proofOf({ ...counts, bytesToServer: 380 }, { ...raw, ...ends })).toBeNull();
    expect(proofOf({ ...counts, bytesToServer: 456 }, { ...raw, ...ends })).toBe('flow');
  });
});

describe('a rule that counts over many sources', () => {
  it.each(['by_dst', 'by_rule'] as const)('with track %s names nobody', (track) => {
    const evidence = evidenceOf(alertFrom({}), contextFor({ now: 0, rules: { '2019232': { track } } }));
    expect(evidence).toMatchObject({ proof: null, sourceIsChance: true });
  });
});
