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
 * stop is reported and does not keep the others from stopping.
 */
export class Lifecycle {
  readonly #started: Service[] = [];
  readonly #onStopError: (name: string, message: string) => void;

  constructor(onStopError: (name: string, message: string) => void) {
    this.#onStopError = onStopError;
  }

  async start(services: readonly Service[]): Promise<void> {
    for (const service of services) {
      try {
        await service.start();
        this.#started.push(service);
      } catch (error) {
        await this.stop();
        throw error;
      }
    }
  }

  async stop(): Promise<void> {
    for (let service = this.#started.pop(); service; service = this.#started.pop()) {
      try {
        await service.stop();
      } catch (error) {
        this.#onStopError(service.name, messageOf(error));
      }
    }
  }
}
