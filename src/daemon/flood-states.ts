import type { EpochMs } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { Flood } from '../filter/detection.js';
import type { Alarm } from './status.js';

/** Services of ours that many sources flood now, as the packet worker tells. */
export class FloodStates {
  readonly #log: Log;
  readonly #ongoing = new Map<string, Flood>();

  constructor(log: Log) {
    this.#log = log;
  }

  onFlood(flood: Flood): void {
    const service = serviceOf(flood);
    const { perSecond, sources } = flood;
    if (flood.state === 'on') {
      this.#ongoing.set(service, flood);
      this.#log.error(
        { alarm: 'flood', service, perSecond, sources },
        `${service} is flooded: ${perSecond} unanswered attempts/s from about ${sources} sources; nobody is banned for it, the kernel limits the rate`,
      );
    } else if (this.#ongoing.delete(service)) {
      this.#log.info({ alarm: 'flood', service, perSecond }, `the flood of ${service} is over`);
    }
  }

  /** The worker that told is gone, and with it what it knew; the kernel's limits end within seconds. */
  forget(): void {
    this.#ongoing.clear();
  }

  get ongoing(): readonly {
    readonly service: string;
    readonly perSecond: number;
    readonly sources: number;
    readonly since: EpochMs;
  }[] {
    return [...this.#ongoing].map(([service, { perSecond, sources, at }]) => ({
      service,
      perSecond,
      sources,
      since: at,
    }));
  }

  get alarms(): Alarm[] {
    return this.ongoing.map(({ service, perSecond, sources, since }) => ({
      name: 'flood',
      since: new Date(since).toISOString(),
      detail: `${service}: ${perSecond} unanswered attempts/s from about ${sources} sources when it began`,
    }));
  }
}

function serviceOf({ target, port }: Flood): string {
  return target.includes(':') ? `[${target}]:${port}` : `${target}:${port}`;
}
