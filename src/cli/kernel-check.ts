import { type EpochMs, FOREVER } from '../base/clock.js';
import { BarricataError, messageOf } from '../base/errors.js';
import type { ManualActs } from '../blocklist/manual.js';
import type { Config } from '../config/config.js';
import { ControlError, controlRequest } from '../daemon/control.js';
import { refusalOf } from '../daemon/gate.js';
import { lookInKernel } from '../daemon/kernel.js';
import type { Prefix } from '../net/prefix.js';
import { lockout, type Refusal } from '../protection/admits.js';
import { controlSocket } from './context.js';

/** How long a change may take to reach the kernel before the command stops waiting. */
const WITHIN_MS = 2000;
/** The same for a change of many entries. */
export const MANY_WITHIN_MS = 15_000;
/** Kernel timeouts end at 24.8 days and are refreshed on the way, so that a longer one is not expected in full, seconds. */
const REFRESHED_ABOVE = 1_000_000;
/** The kernel counts whole seconds, and time passes until it is asked. */
const TOLERANCE_S = 5;

/** What the daemon and the kernel know of one prefix. */
export interface KernelView {
  /** The ban set holds exactly this prefix, and the rules that use the set are in place. */
  readonly inKernel: boolean;
  /** The allow set holds exactly this prefix. */
  readonly allowed: boolean;
  /** Seconds; 0 is permanent, `null` without an element. */
  readonly timeout: number | null;
  readonly packets: number;
  /** Why the protections keep it out; `null` when they do not. */
  readonly refusal: string | null;
  readonly cause: Refusal['cause'] | null;
  readonly mode: string;
  readonly rules: 'in place' | 'missing' | 'failed';
}

/** Whether the kernel took a change up. */
export interface Settled {
  /** `null` when nobody could be asked. */
  readonly kernel: boolean | null;
  readonly milliseconds: number | null;
  /** Why it is not so; `null` when it is. */
  readonly problem: string | null;
}

/** @throws ControlError `not_running` when no daemon answers */
export async function kernelView(config: Config, address: string): Promise<KernelView> {
  const path = `/kernel?address=${encodeURIComponent(address)}`;
  return (await controlRequest(controlSocket(config), path, WITHIN_MS)) as KernelView;
}

/**
 * The same, from the kernel itself when no daemon runs; a text says why neither
 * could tell.
 */
export async function kernelNow(config: Config, target: Prefix): Promise<KernelView | string> {
  try {
    return await kernelView(config, target.text);
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    if (error.kind !== 'not_running') return error.message;
  }
  try {
    const { banned, allowed, rules } = await lookInKernel(config, target);
    return {
      inKernel: banned !== null,
      allowed,
      timeout: banned?.timeout ?? null,
      packets: banned?.packets ?? 0,
      refusal: null,
      cause: null,
      mode: 'no daemon',
      rules,
    };
  } catch (error) {
    if (error instanceof BarricataError)
      return `Barricata does not run, and the kernel cannot be looked at: ${messageOf(error)}`;
    throw error;
  }
}

/** Whether the kernel drops this prefix at least until then. */
export function droppedUntil(until: EpochMs): (view: KernelView) => boolean {
  return ({ inKernel, timeout }) => {
    if (!inKernel || timeout === null) return false;
    if (timeout === 0) return true;
    const left = (until - Date.now()) / 1000;
    return until !== FOREVER && timeout >= Math.min(left, REFRESHED_ABOVE) - TOLERANCE_S;
  };
}

/** Waits until the kernel is as it should be for one prefix, and says what keeps it from that. */
export function waitForKernel(
  config: Config,
  address: string,
  wanted: (view: KernelView) => boolean,
): Promise<Settled> {
  return settles(async () => {
    const view = await kernelView(config, address);
    return wanted(view) ? null : causeOf(view);
  });
}

function causeOf({ refusal, mode, rules }: KernelView): string {
  if (refusal !== null) return refusal;
  if (mode === 'off') return 'the mode is off: nothing is dropped';
  if (rules !== 'in place') return `the rules are ${rules}: nothing is dropped. See: barricata doctor`;
  return 'the daemon has not done it yet';
}

/**
 * Asks again and again until the answer is `null`.
 * @param ask gives what is still in the way
 */
export async function settles(ask: () => Promise<string | null>, within = WITHIN_MS): Promise<Settled> {
  const began = performance.now();
  for (;;) {
    const passed = performance.now() - began;
    let problem: string | null;
    try {
      problem = await ask();
    } catch (error) {
      return { kernel: null, milliseconds: null, problem: error instanceof Error ? error.message : String(error) };
    }
    if (problem === null) return { kernel: true, milliseconds: Math.round(performance.now() - began), problem };
    if (passed > within) return { kernel: false, milliseconds: null, problem };
    await new Promise((resolve) => setTimeout(resolve, within > WITHIN_MS ? 50 : 5));
  }
}

/**
 * Why the protections refuse a ban that a person types, or `null`; also whether
 * it would lock that person out. The running daemon knows every fact; without
 * it they are gathered here, at the cost of the whole list.
 * @throws BlocklistError
 */
export async function refusalFor(config: Config, target: Prefix, acts: ManualActs): Promise<Refusal | null> {
  let view: KernelView;
  try {
    view = await kernelView(config, target.text);
  } catch (error) {
    if (error instanceof ControlError) return refusalOf(config, target, acts);
    throw error;
  }
  const refusal = view.cause === null ? null : { cause: view.cause, detail: view.refusal ?? '' };
  const session = lockout(target, process.env['SSH_CONNECTION'] ?? process.env['SSH_CLIENT']);
  if (session === null) return refusal;
  return {
    cause: refusal?.cause ?? 'this_machine',
    detail: refusal === null ? session.replace(/^it /, '') : `${refusal.detail}; ${session}`,
  };
}
