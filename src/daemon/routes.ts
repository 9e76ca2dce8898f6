import { formatMode } from '../blocklist/mode.js';
import { isProblem, parsePrefix } from '../net/prefix.js';
import type { Parts } from './compose.js';
import type { ControlRoute } from './control.js';
import { statusOf } from './status-of.js';

/** What the command line may ask the daemon; see `cli/` for who asks what. */
export function routesOf(parts: Omit<Parts, 'services'>, onStopAsked: () => void): Record<string, ControlRoute> {
  const { kernel, reconciler, recent, mirror, facts, acts, settings } = parts;
  const canonical = (query: URLSearchParams) => {
    const prefix = parsePrefix(query.get('address') ?? '');
    if (isProblem(prefix)) throw new Error(prefix.detail);
    return prefix;
  };
  return {
    '/pid': () => ({ pid: process.pid, onStop: settings.config.enforcement.onStop }),
    '/stop': () => {
      setImmediate(onStopAsked);
      return { stopping: true };
    },
    '/status': () => statusOf(parts),
    '/kernel': async (query) => {
      const prefix = canonical(query);
      // The kernel itself is asked, not what this process believes of it.
      const element = await kernel.backend.find('ban', prefix);
      return {
        inKernel: element !== null && kernel.rules.state === 'in place',
        timeout: element?.timeout ?? null,
        packets: element?.packets ?? 0,
        refusal: (reconciler.refusal(prefix.text) ?? facts.refuse(prefix))?.detail ?? null,
        mode: mirror.mode.mode,
      };
    },
    '/elements': async () => {
      const packets: Record<string, number> = {};
      for await (const page of kernel.backend.dump('ban'))
        for (const element of page) packets[element.text] = element.packets;
      return packets;
    },
    '/why': (query) => recent.of(canonical(query).text),
    '/held': () => ({ held: mirror.held() }),
    '/held/restore': async (query) => {
      const by = query.get('by') || null;
      const held = [...mirror.level.held()];
      const written = await acts.writeBackHeld(held, 'written back after a mass loss', {
        by,
        from: 'cli',
        host: settings.config.host,
      });
      return { written };
    },
    '/mode': () =>
      formatMode({ mode: mirror.mode.mode, until: mirror.mode.until ?? Number.POSITIVE_INFINITY, after: null }),
  };
}
