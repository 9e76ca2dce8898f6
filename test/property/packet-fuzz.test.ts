import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.js';
import { VERDICT } from '../../src/filter/detector.js';
import { PacketRules } from '../../src/filter/packet-rules.js';
import { Pipeline } from '../../src/filter/pipeline.js';
import { parseAddress } from '../../src/net/address.js';
import { Packet } from '../../src/net/packet.js';
import { parsePrefix } from '../../src/net/prefix.js';
import { Nfqueue } from '../../src/netlink/nfqueue.js';
import { NetlinkSocket } from '../../src/netlink/socket.js';
import { runCampaign } from '../fuzz/campaign.mjs';
import { runQueue } from '../fuzz/queue.mjs';

/** A slice of `npm run fuzz`; a seed that failed is run again by `npm run fuzz -- --seed N`. */
const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const once = { numRuns: 1, endOnFailure: true } as const;

it('packets of every kind, valid and hostile, are read as the standards say and judged once', () => {
  const driven = { Packet, PacketRules, Pipeline, VERDICT, parseAddress, parseConfig, parsePrefix };
  fc.assert(
    fc.property(seed, (chosen) => {
      const seen = runCampaign(driven, { packets: 60_000, seed: chosen });
      // What was not reached was not looked at.
      for (const count of Object.values(seen.outcomes)) expect(count).toBeGreaterThan(1000);
      expect(Object.keys(seen.verdicts)).toEqual(expect.arrayContaining(['0', '1']));
      for (const hits of seen.rules) expect(hits).toBeGreaterThan(0);
      for (const detector of ['syn_rate', 'icmp_rate', 'udp_rate', 'port_scan', 'stealth_scan', 'packet_rule']) {
        expect(seen.detections[detector], detector).toBeGreaterThan(0);
      }
    }),
    once,
  );
});

it('each queued packet gets the verdict of its own bytes, once and in order, whatever its message says', () => {
  fc.assert(
    fc.property(seed, (chosen) => {
      const { packets, hostile, asked, exceptions } = runQueue(
        { Nfqueue, NetlinkSocket, VERDICT },
        { packets: 20_000, seed: chosen },
      );
      expect(packets).toBeGreaterThanOrEqual(20_000);
      for (const count of [hostile, asked, exceptions]) expect(count).toBeGreaterThan(100);
    }),
    once,
  );
});
