import { messageOf } from './errors.js';

/** Something that is started once and stopped once. Its constructor does nothing. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts services in order and stops them in reverse. When one fails to start,
 * those before it are stopped again and the failure is thrown. A failure to
 * stop is reported and does not keep the others from stopping. A stop while
 * they start waits for the one at hand, and the rest is not started.
 */
export class Lifecycle {
  readonly #started: Service[] = [];
  readonly #onStopError: (name: string, message: string) => void;
  #starting: Promise<void> | null = null;
  #stopAsked = false;

  constructor(onStopError: (name: string, message: string) => void) {
    this.#onStopError = onStopError;
  }

  /** @returns whether all were started; false when it was asked to stop meanwhile */
  async start(services: readonly Service[]): Promise<boolean> {
    this.#stopAsked = false;
    this.#starting = this.#startEach(services);
    try {
      await this.#starting;
    } finally {
      this.#starting = null;
    }
    return !this.#stopAsked;
  }

  async stop(): Promise<void> {
    this.#stopAsked = true;
    // A failure to start is thrown to whoever asked for the start.
    await this.#starting?.catch(() => undefined);
    await this.#stopStarted();
  }

  async #startEach(services: readonly Service[]): Promise<void> {
    for (const service of services) {
      if (this.#stopAsked) return;
      try {
        await service.start();
        this.#started.push(service);
      } catch (error) {
        await this.#stopStarted();
        throw error;
      }
    }
  }

  async #stopStarted(): Promise<void> {
    for (let service = this.#started.pop(); service; service = this.#started.pop()) {
      try {
        await service.stop();
      } catch (error) {
        this.#onStopError(service.name, messageOf(error));
      }
    }
  }
}
