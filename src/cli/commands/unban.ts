import { controlRequest } from '../../daemon/control.js';
import { durationArgument, endOf, prefixArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { configOf, controlSocket } from '../context.js';
import { waitForKernel } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, print, tell } from '../output.js';

interface Options extends GlobalOptions {
  readonly reason?: string;
  readonly ticket?: string;
  readonly andAllow?: string;
  readonly held?: boolean;
}

/** Lifts every ban of exactly this prefix, on every host, and pardons it; or accepts a held loss. */
export async function run([address]: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  const say = options.quiet ? () => {} : print;
  const reason = options.reason ?? 'lifted by hand';
  if (options.held) {
    return withBlocklist(config, options, async ({ acts, actor }) => {
      const { held } = (await controlRequest(controlSocket(config), '/held')) as { held: number };
      if (held === 0) {
        say('nothing is held');
        return EXIT.no;
      }
      await acts.acceptHeld(reason, actor);
      say(`the loss of ${held} entries is accepted; they leave the kernel`);
      return EXIT.done;
    });
  }
  const prefix = prefixArgument(address);
  const allowFor = options.andAllow === undefined ? null : durationArgument('--and-allow', options.andAllow);
  return withBlocklist(config, options, async ({ acts, actor }) => {
    if (options.dryRun) {
      const found = await acts.find('ban', prefix.text);
      say(`would lift ${found.length} ban${found.length === 1 ? '' : 's'} of ${prefix.text}`);
      return found.length > 0 ? EXIT.done : EXIT.no;
    }
    if (allowFor !== null) {
      await acts.allow({ address: prefix.text, until: endOf(allowFor), reason, ticket: options.ticket ?? null }, actor);
    }
    const removed = await acts.unban([prefix.text], { reason, ticket: options.ticket ?? null }, actor);
    if (removed.length === 0) {
      say(`${prefix.text} is not banned${allowFor === null ? '' : '; it is allowed now'}`);
      return allowFor === null ? EXIT.no : EXIT.done;
    }
    const kernel = await waitForKernel(config, prefix.text, false);
    if (typeof kernel === 'string') {
      tell(`lifted in Redis; the kernel could not be checked: ${kernel}`);
      return EXIT.notInKernel;
    }
    const first = removed[0]?.record.reason ?? '';
    say(`unbanned ${prefix.text} (${first}), out of the kernel after ${kernel} ms`);
    say(`undo: barricata ban ${prefix.text} --for 1h --reason "..."`);
    return EXIT.done;
  });
}
