import { isDeepStrictEqual } from 'node:util';
import type { EpochMs } from '../base/clock.js';
import type { PolicyLine } from '../config/config.js';
import type { Prefix } from '../net/prefix.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import { DistinctWindow, type InitiatorKey } from './windows.js';

interface LineWindows {
  readonly all: DistinctWindow;
  readonly proven: DistinctWindow;
}

/**
 * What deciding remembers from one alert to the next: the windows of the lines
 * that ask for `distinct_sids`. The only thing that `decide` changes, so that
 * the same alerts in the same order with a fresh memory give the same decisions.
 * Held by this process only: a restart begins with empty windows, and so does a
 * line whose conditions changed, which can only make decisions milder.
 */
export class PolicyMemory {
  #policy: readonly PolicyLine[] = [];
  #lines = new Map<PolicyLine, LineWindows>();

  /**
   * Counts an alert that matches the rest of the line.
   *
   * Proven alerts are counted by themselves: forged ones that somebody mixes
   * with the alerts of an honest client must not make a proven ban of it.
   *
   * @param policy the lines that are in force; the windows of others are dropped
   * @param initiator who opened the flow; one outside is counted per /64 where it is IPv6
   * @returns whether there are enough different signatures now
   */
  enough(
    policy: readonly PolicyLine[],
    line: PolicyLine,
    of: { readonly alert: EveAlert; readonly initiator: Prefix; readonly inside: boolean; readonly proven: boolean },
    at: EpochMs,
  ): boolean {
    const { distinctSids } = line.when;
    if (distinctSids === undefined) return true;
    if (policy !== this.#policy) this.#follow(policy);
    let windows = this.#lines.get(line);
    if (windows === undefined) {
      windows = { all: new DistinctWindow(distinctSids), proven: new DistinctWindow(distinctSids) };
      this.#lines.set(line, windows);
    }
    const { sid, gid } = of.alert;
    const signature = gid === 1 ? sid : `${gid}:${sid}`;
    const initiator = keyOf(of.initiator, of.inside);
    const enough = windows.all.add(initiator, signature, at);
    return of.proven ? windows.proven.add(initiator, signature, at) : enough;
  }

  /** A policy that was read again brings new lines; one with the same conditions goes on counting. */
  #follow(policy: readonly PolicyLine[]): void {
    const before = [...this.#lines];
    this.#policy = policy;
    this.#lines = new Map();
    for (const line of policy) {
      if (line.when.distinctSids === undefined) continue;
      const same = before.find(([known]) => isDeepStrictEqual(known.when, line.when));
      if (same !== undefined) this.#lines.set(line, same[1]);
    }
  }

  /** Initiators in all windows, and those that were forgotten because a table was full. */
  status(): { readonly initiators: number; readonly forgotten: number } {
    let initiators = 0;
    let forgotten = 0;
    for (const { all, proven } of this.#lines.values()) {
      initiators += all.size;
      forgotten += all.forgotten + proven.forgotten;
    }
    return { initiators, forgotten };
  }
}

/** An attacker takes any address of its /64; our own hosts share one, so that each counts for itself. */
function keyOf({ family, w0, w1, text }: Prefix, inside: boolean): InitiatorKey {
  if (family === 4) return w0;
  return inside ? text : `${w0} ${w1}`;
}
