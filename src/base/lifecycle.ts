import { messageOf } from './errors.js';

/** Something that is started once and stopped once. Its constructor does nothing. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  /** Called also after a start that failed, to undo what that start had made. */
  stop(): Promise<void>;
}

/**
 * Starts services in order and stops them in reverse. When one fails to start,
 * it and those before it are stopped again and the failure is thrown. A failure
 * to stop is reported and does not keep the others from stopping.
 */
export class Lifecycle {
  readonly #started: Service[] = [];
  readonly #onStopError: (name: string, message: string) => void;
  #starting: Promise<unknown> | null = null;
  #stopping: Promise<void> | null = null;

  constructor(onStopError: (name: string, message: string) => void) {
    this.#onStopError = onStopError;
  }

  /** @returns whether all of them started; `false` when `stop` was called meanwhile */
  async start(services: readonly Service[]): Promise<boolean> {
    const starting = Promise.resolve().then(() => this.#startAll(services));
    this.#starting = starting.catch(() => {});
    try {
      return await starting;
    } finally {
      this.#starting = null;
    }
  }

  /** Waits for a start under way to give up, then stops what had started. Called again, waits for the first call. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      await this.#starting;
      await this.#stopAll();
    })().finally(() => {
      this.#stopping = null;
    });
    return this.#stopping;
  }

  async #startAll(services: readonly Service[]): Promise<boolean> {
    for (const service of services) {
      if (this.#stopping) return false;
      this.#started.push(service);
      try {
        await service.start();
      } catch (error) {
        await this.#stopAll();
        throw error;
      }
    }
    return this.#stopping === null;
  }

  async #stopAll(): Promise<void> {
    for (let service = this.#started.pop(); service; service = this.#started.pop()) {
      try {
        await service.stop();
      } catch (error) {
        this.#onStopError(service.name, messageOf(error));
      }
    }
  }
}
