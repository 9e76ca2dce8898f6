import { isProblem, parsePrefix, prefixOf } from '../net/prefix.js';
import type { Parts } from './compose.js';
import type { ControlRoute } from './control.js';
import type { Author } from './policy-versions.js';
import type { Reloaded } from './reload.js';
import { statusOf } from './status-of.js';

/** As many held bans are named, so that whoever lets them go can watch them leave the kernel. */
const SAMPLE = 20;

/** What may be asked of the whole program. */
export interface Asked {
  readonly stop: () => void;
  readonly reload: (author: Author) => Promise<Reloaded>;
}

/** Which configuration runs. */
export interface RunningConfig {
  /** Absolute path that it was read from. */
  readonly file: string;
  readonly state: string;
  /** Policy version. */
  readonly version: string;
  /** Its number among the kept versions; `null` when it could not be kept. */
  readonly kept: number | null;
}

/** What the command line may ask the daemon; see `cli/` for who asks what. */
export function routesOf(parts: Omit<Parts, 'services'>, asked: Asked): Record<string, ControlRoute> {
  const { kernel, reconciler, recent, mirror, facts, limits, acts, settings, history, learning } = parts;
  const canonical = (query: URLSearchParams) => {
    const prefix = parsePrefix(query.get('address') ?? '');
    if (isProblem(prefix)) throw new Error(prefix.detail);
    return prefix;
  };
  return {
    '/pid': () => ({ pid: process.pid, onStop: settings.config.enforcement.onStop }),
    '/stop': () => {
      setImmediate(asked.stop);
      return { stopping: true };
    },
    '/config': (): RunningConfig => {
      const { file, state, policyVersion } = settings.config;
      return { file, state, version: policyVersion, kept: settings.kept };
    },
    '/reload': (query) =>
      asked.reload({
        by: query.get('by') || null,
        reason: query.get('reason') || null,
        ticket: query.get('ticket') || null,
      }),
    '/status': () => statusOf(parts),
    '/kernel': async (query) => {
      const prefix = canonical(query);
      // The kernel itself is asked, not what this process believes of it.
      const element = await kernel.backend.find('ban', prefix);
      const allowed = await kernel.backend.find('allow', prefix);
      const refusal = reconciler.refusal(prefix.text) ?? facts.refuse(prefix);
      return {
        // An element that no rule looks at drops nothing.
        inKernel: element !== null && kernel.rules.state === 'in place',
        allowed: allowed !== null,
        timeout: element?.timeout ?? null,
        packets: element?.packets ?? 0,
        refusal: refusal?.detail ?? null,
        cause: refusal?.cause ?? null,
        mode: mirror.mode.mode,
        rules: kernel.rules.state,
      };
    },
    '/elements': async () => {
      const packets: Record<string, number> = {};
      const rules = kernel.rules.state;
      if (rules !== 'in place') return { rules, packets };
      for await (const page of kernel.backend.dump('ban'))
        for (const element of page) packets[element.text] = element.packets;
      return { rules, packets };
    },
    '/covering': (query) => {
      const prefix = canonical(query);
      const covering: string[] = [];
      for (let length = prefix.length; length >= 0; length--) {
        const { text } = prefixOf(prefix, length);
        if (mirror.get('ban', text) !== undefined) covering.push(text);
      }
      return covering;
    },
    '/why': (query) => recent.of(canonical(query).text),
    '/history/flush': async () => {
      // What cannot be written is said by the status; whoever asks reads what is there.
      await history?.flush(true).catch(() => undefined);
      return history?.status() ?? null;
    },
    '/held': () => {
      const sample: string[] = [];
      for (const { id, text } of mirror.level.held()) {
        if (sample.length === SAMPLE) break;
        if (!id.startsWith('a')) sample.push(text);
      }
      return { held: mirror.held(), sample };
    },
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
    '/limits/reset': () => {
      const { reached } = limits.state;
      limits.reset();
      return { reached };
    },
    '/learn': (query) => {
      const seconds = Number(query.get('for'));
      if (!(seconds > 0)) throw new Error('for: seconds to learn are needed');
      return learning.begin(seconds);
    },
    '/learn/brief': () => learning.brief(),
    '/learn/status': () => learning.state(),
    '/learn/stop': () => learning.end(),
    '/mode': () => {
      const { mode, until, from } = mirror.mode;
      return { mode, until, from };
    },
  };
}
