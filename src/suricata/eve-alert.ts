/**
 * suricata: the alert path's source. `eve-tailer` follows eve.json files through
 * every kind of rotation, `bookmark` says where it was, `eve-reader` finds the
 * few lines that carry an alert and reads only those, `eve-alert` is what an
 * alert is to the rest of the program.
 */
import type { EpochMs } from '../base/clock.js';
import type { Address } from '../net/address.js';

/** One end of the packet or flow; addresses canonical. */
export interface Endpoint {
  readonly address: Address;
  /** `null` for protocols without ports. */
  readonly port: number | null;
}

/** The subset of an EVE `alert` record that decisions need (Suricata manual, EVE JSON format). Unknown parts are absent, never guessed. */
export interface EveAlert {
  /** Event time with the record's own offset applied. */
  readonly at: EpochMs;
  readonly gid: number;
  readonly sid: number;
  readonly rev: number;
  readonly signature: string;
  readonly category: string;
  /** 1-255, lower is worse. */
  readonly severity: number;
  readonly action: 'allowed' | 'blocked';
  /** `verdict.action` where the record carries one: `alert`, `pass`, `drop`... */
  readonly verdict: string | null;
  /** The packet's sender and receiver: NOT attacker and victim. `null` when the record has no usable addresses. */
  readonly src: Endpoint | null;
  readonly dest: Endpoint | null;
  /** As logged: TCP, UDP, ICMP, IPv6-ICMP... upper case; '' when absent. */
  readonly proto: string;
  readonly appProto: string | null;
  readonly direction: 'to_server' | 'to_client' | null;
  readonly flowId: number | null;
  readonly flow: {
    /** Flow initiator and responder (Suricata >= 7). */
    readonly src: Endpoint | null;
    readonly dest: Endpoint | null;
    readonly packetsToServer: number;
    readonly packetsToClient: number;
    readonly bytesToServer: number;
    readonly bytesToClient: number;
    /** `new`, `established`, `closed`..., where logged. */
    readonly state: string | null;
    readonly start: EpochMs | null;
  } | null;
  /** `alert.source` / `alert.target` of rules with the `target` keyword. */
  readonly ruleSource: Address | null;
  readonly ruleTarget: Address | null;
  readonly metadata: Readonly<Record<string, readonly string[]>>;
  /** X-Forwarded-For as logged, unsplit. */
  readonly xff: string | null;
  /** Set when the packet was seen inside a tunnel (depth >= 1 with other outer addresses). */
  readonly tunnelled: boolean;
  readonly icmpType: number | null;
  readonly packetSource: string | null;
}

/** Why a line that should carry an alert is not used; counted, never fatal. */
export type UnusableCause =
  | 'truncated'
  | 'not_json'
  | 'not_an_object'
  | 'not_an_alert'
  | 'no_sid'
  | 'no_timestamp'
  | 'no_addresses'
  | 'bad_address'
  | 'too_long';

/** What reading one stretch of a source gave. Handed on in file order. */
export interface EveBatch {
  /** The path (or address) that was read. */
  readonly source: string;
  readonly alerts: readonly EveAlert[];
  /** Lines read, alerts or not. */
  readonly lines: number;
  /** Opaque text to store with the effects of this batch; gives back to `EveTailer` at the next start. */
  readonly position: string;
}
