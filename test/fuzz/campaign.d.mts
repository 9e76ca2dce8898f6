import type { parseConfig } from '../../src/config/load.js';
import type { VERDICT } from '../../src/filter/detector.js';
import type { PacketRules } from '../../src/filter/packet-rules.js';
import type { Pipeline } from '../../src/filter/pipeline.js';
import type { parseAddress } from '../../src/net/address.js';
import type { Packet } from '../../src/net/packet.js';
import type { parsePrefix } from '../../src/net/prefix.js';

/** The parts of the program that are driven. */
export interface Driven {
  readonly Packet: typeof Packet;
  readonly PacketRules: typeof PacketRules;
  readonly Pipeline: typeof Pipeline;
  readonly VERDICT: typeof VERDICT;
  readonly parseAddress: typeof parseAddress;
  readonly parseConfig: typeof parseConfig;
  readonly parsePrefix: typeof parsePrefix;
}

export interface CampaignOptions {
  readonly packets: number;
  readonly seed: number;
  readonly captures?: readonly { readonly bytes: Uint8Array; readonly wireLength: number }[];
  readonly progress?: (packets: number) => void;
}

export interface Campaign {
  readonly packets: number;
  readonly seed: number;
  readonly outcomes: Readonly<Record<'ok' | 'fragment' | 'truncated' | 'malformed', number>>;
  /** How often each verdict and each detector came up. */
  readonly verdicts: Readonly<Record<string, number>>;
  readonly detections: Readonly<Record<string, number>>;
  readonly floods: number;
  /** Packets that each packet rule decided. */
  readonly rules: Float64Array;
}

/** @throws Error at the first packet that breaks a promise, with the packet in hex */
export function runCampaign(driven: Driven, options: CampaignOptions): Campaign;
