import type { Config } from '../config/config.js';
import { controlRequest } from '../daemon/control.js';
import { controlSocket } from './context.js';

/** How long a change may take to reach the kernel before the command stops waiting. */
const WITHIN_MS = 2000;

/** What the daemon knows of one prefix. */
export interface KernelView {
  readonly inKernel: boolean;
  readonly timeout: number | null;
  readonly packets: number;
  /** Why the protections keep it out; `null` when they do not. */
  readonly refusal: string | null;
  readonly mode: string;
}

export function kernelView(config: Config, address: string): Promise<KernelView> {
  return controlRequest(controlSocket(config), `/kernel?address=${encodeURIComponent(address)}`) as Promise<KernelView>;
}

/**
 * Waits until the kernel holds (or no longer holds) the prefix.
 * @returns the milliseconds it took, or why it did not
 */
export async function waitForKernel(config: Config, address: string, wanted: boolean): Promise<number | string> {
  const began = performance.now();
  let last = 'the daemon does not run';
  while (performance.now() - began < WITHIN_MS) {
    try {
      const view = await kernelView(config, address);
      if (view.inKernel === wanted) return Math.round(performance.now() - began);
      last =
        view.refusal ??
        (view.mode === 'off' ? 'the mode is off: nothing is dropped' : 'the daemon has not done it yet');
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return last;
}
