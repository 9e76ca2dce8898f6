import PQueue from 'p-queue';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Family } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';
import { NetlinkError } from '../netlink/errors.js';
import { dumpSet, type ElementFailure, IpsetClient, type SetHeader } from '../netlink/ipset.js';
import { ensureSet, type SetTool } from './ensure-set.js';
import {
  type ApplyResult,
  EnforcementError,
  type EnforcementErrorKind,
  type Gate,
  type KernelElement,
  type ListName,
  type SetBackend,
  type WantedElement,
} from './set-backend.js';
import { Breath, batchOf, FAMILIES, missing, ownSetNames, setName, setPlans, sizeOf } from './sets.js';

/** Elements handed to the kernel between two looks at the clock: about 0.6 ms of work. */
const SLICE = 1000;

export interface IpsetBackendOptions {
  readonly gate: Gate;
  readonly clock: Clock;
  /** The most elements a set can hold; see `maxelemFor`. */
  readonly maxelem: number;
}

/** The sets of the kernel, changed by netlink: microseconds for one element, a third of one each in a batch. */
export class IpsetBackend implements SetBackend {
  readonly name = 'ipset';
  readonly #o: IpsetBackendOptions;
  /** Whatever changes sets takes its turn here; reading does not wait. */
  readonly #turn = new PQueue({ concurrency: 1 });
  #client: IpsetClient | null = null;

  constructor(options: IpsetBackendOptions) {
    this.#o = options;
  }

  /**
   * Makes the missing sets and rebuilds those with other parameters.
   * @throws EnforcementError kind `not_permitted`, `unsupported`, or what `ensureSet` throws
   */
  async open(): Promise<void> {
    await this.#exclusive('ipset open', async (client) => {
      const tool = toolOf(client);
      for (const plan of setPlans(this.#o.maxelem)) await ensureSet(tool, plan, this.#o.gate);
    });
  }

  async apply(list: ListName, add: readonly WantedElement[], remove: readonly Prefix[]): Promise<ApplyResult> {
    return this.#exclusive('ipset apply', async (client) => {
      const { gate, clock } = this.#o;
      const breath = new Breath();
      let added = 0;
      let removed = 0;
      const refused: ApplyResult['refused'][number][] = [];
      const failed: ApplyResult['failed'][number][] = [];
      const note = (failures: readonly ElementFailure[]) => {
        for (const { prefix, error } of failures) failed.push({ text: prefix.text, error: asEnforcement(error) });
        return failures.length;
      };
      for (let at = 0; at < remove.length; at += SLICE) {
        const batch = batchOf(list, [], remove.slice(at, at + SLICE), gate, 0);
        for (const family of FAMILIES) {
          const prefixes = batch.remove[family];
          if (prefixes.length === 0) continue;
          removed += prefixes.length - note(client.delete(setName(list, family), family, prefixes));
        }
        await breath.take();
      }
      for (let at = 0; at < add.length; at += SLICE) {
        // The gate and the clock are asked slice by slice: facts and time move on during a long batch.
        const batch = batchOf(list, add.slice(at, at + SLICE), [], gate, clock.now());
        refused.push(...batch.refused);
        for (const family of FAMILIES) {
          const elements = batch.add[family];
          if (elements.length === 0) continue;
          added += elements.length - note(client.add(setName(list, family), family, elements));
        }
        await breath.take();
      }
      return { added, removed, refused, failed };
    });
  }

  async *dump(list: ListName): AsyncGenerator<readonly KernelElement[], void, void> {
    try {
      for (const family of FAMILIES) yield* dumpSet(setName(list, family));
    } catch (error) {
      throw asEnforcement(error);
    }
  }

  async size(list: ListName): Promise<{ ipv4: number; ipv6: number; referenced: boolean }> {
    return sizeOf(this.#header(list, 4), this.#header(list, 6));
  }

  async find(list: ListName, prefix: Prefix): Promise<KernelElement | null> {
    const name = setName(list, prefix.family);
    try {
      // The kernel tells only yes or no of one element; its timeout and counters stand in the listing.
      if (prefix.length === 0 || !this.#connected().test(name, prefix)) return null;
      for await (const page of dumpSet(name)) {
        const element = page.find(({ text }) => text === prefix.text);
        if (element) return element;
      }
      return null;
    } catch (error) {
      throw asEnforcement(error);
    }
  }

  async close(): Promise<void> {
    await this.#turn.onIdle();
    this.#client?.close();
    this.#client = null;
  }

  async destroy(): Promise<void> {
    await this.#exclusive('ipset destroy', async (client) => {
      const kept: string[] = [];
      for (const name of ownSetNames()) {
        try {
          client.destroy(name);
        } catch (error) {
          kept.push(messageOf(error));
        }
      }
      if (kept.length > 0) throw new EnforcementError('ipset destroy', 'refused', kept.join('; '));
    });
  }

  #connected(): IpsetClient {
    this.#client ??= IpsetClient.open();
    return this.#client;
  }

  #exclusive<T>(operation: string, task: (client: IpsetClient) => Promise<T>): Promise<T> {
    return this.#turn.add(async () => {
      try {
        return await task(this.#connected());
      } catch (error) {
        throw asEnforcement(error, operation);
      }
    });
  }

  #header(list: ListName, family: Family): SetHeader {
    const name = setName(list, family);
    let header: SetHeader | null;
    try {
      header = this.#connected().header(name);
    } catch (error) {
      throw asEnforcement(error);
    }
    if (header === null) throw missing('ipset list', name);
    return header;
  }
}

/** Netlink as `ensureSet` uses it. */
function toolOf(client: IpsetClient): SetTool {
  return {
    header: (name) => client.header(name),
    create: (name, { type, family, maxelem, counters, hashsize, netmask, timeout }) => {
      const mask = netmask === null ? {} : { netmask };
      client.create(name, { type, family, maxelem, counters, hashsize, timeout, ...mask });
    },
    destroy: (name) => client.destroy(name),
    swap: (name, other) => client.swap(name, other),
    rename: (name, to) => client.rename(name, to),
    elements: dumpSet,
    fill: (name, family, elements) => {
      const [failure] = client.add(name, family, elements);
      if (failure) throw failure.error;
    },
  };
}

const KINDS: Readonly<Record<NetlinkError['kind'], EnforcementErrorKind>> = {
  ffi_unavailable: 'unsupported',
  not_permitted: 'not_permitted',
  unsupported: 'unsupported',
  missing: 'missing',
  exists: 'refused',
  full: 'full',
  refused: 'refused',
};

function asEnforcement(error: unknown, operation = 'ipset'): EnforcementError {
  if (error instanceof EnforcementError) return error;
  if (error instanceof NetlinkError) {
    return new EnforcementError(error.operation, KINDS[error.kind], error.message, error);
  }
  return new EnforcementError(operation, 'refused', `${operation}: ${messageOf(error)}`, error);
}
