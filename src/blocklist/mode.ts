import { type EpochMs, FOREVER } from '../base/clock.js';

export type RunMode = 'enforce' | 'observe' | 'off' | 'pause';

/** What a mode key says. */
export interface ModeSetting {
  readonly mode: RunMode;
  /** When `pause` ends; `FOREVER` unless given. */
  readonly until: EpochMs;
  /** The mode after the pause; `null` = the one that would hold without this key. */
  readonly after: Exclude<RunMode, 'pause'> | null;
}

/** The mode that holds on this host now, and what decided it. */
export interface EffectiveMode {
  readonly mode: RunMode;
  /** When it ends by itself; `null` when it does not. */
  readonly until: EpochMs | null;
  readonly from: 'fleet' | 'host' | 'file';
}

/**
 * Reads a mode key: `enforce`, `observe`, `off`, `pause`, or
 * `pause 2026-11-23T17:00:00Z enforce` (its end, and what comes then).
 * `null` for anything else.
 */
export function parseMode(value: string): ModeSetting | null {
  const match = /^(enforce|observe|off|pause)(?: (\d{4}-\S+Z)(?: (enforce|observe|off))?)?$/i.exec(value.trim());
  if (!match) return null;
  const [mode, , after] = [match[1], match[2], match[3]].map((word) => word?.toLowerCase());
  const end = match[2];
  const until = end === undefined ? FOREVER : Date.parse(end);
  if (Number.isNaN(until)) return null;
  return { mode: mode as RunMode, until, after: (after as Exclude<RunMode, 'pause'> | undefined) ?? null };
}

export function formatMode(setting: ModeSetting): string {
  if (setting.until === FOREVER) return setting.mode;
  return [setting.mode, new Date(setting.until).toISOString(), setting.after ?? ''].join(' ').trimEnd();
}

/**
 * The host's own key beats the fleet's, which beats the file; but `off`, the
 * emergency brake, beats both wherever it is set.
 */
export function effectiveMode(
  file: Exclude<RunMode, 'pause'>,
  fleet: ModeSetting | null,
  host: ModeSetting | null,
  now: EpochMs,
): EffectiveMode {
  let result: EffectiveMode = { mode: file, until: null, from: 'file' };
  for (const [from, setting] of [
    ['fleet', fleet],
    ['host', host],
  ] as const) {
    if (setting === null || (result.mode === 'off' && result.from === 'fleet')) continue;
    const over = setting.until <= now;
    if (over && setting.after === null) continue;
    result = over
      ? { mode: setting.after ?? file, until: null, from }
      : { mode: setting.mode, until: setting.until === FOREVER ? null : setting.until, from };
  }
  return result;
}
