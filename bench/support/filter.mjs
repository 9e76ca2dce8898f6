// How the benchmarks start the filter without the daemon: the one place that knows
// what a worker and a pipeline are made with.
import { randomInt } from 'node:crypto';
import { parseConfig } from '../../dist/config/load.js';
import { newKnownGoodMemory } from '../../dist/filter/known-good.js';
import { Pipeline } from '../../dist/filter/pipeline.js';
import { CONTROL, COUNTER, newProgressBoard, newQueueState, sharedNumber } from '../../dist/filter/shared-state.js';

export const workerUrl = new URL('../../dist/filter/queue-worker.js', import.meta.url);

/** What `queue-worker.js` is given: the configuration as shipped, verdicts that drop, no alive sets. */
export function workerInput(queue, backlog) {
  const state = newQueueState();
  Atomics.store(state.control, CONTROL.DROPPING, 1);
  return {
    queue,
    index: 0,
    failOpen: true,
    backlog,
    filter: parseConfig('', 'bench').filter,
    seed: randomInt(2 ** 32),
    state,
    board: newProgressBoard(1),
    home: [],
    queues: 1,
    knownGood: newKnownGoodMemory([randomInt(2 ** 31), randomInt(2 ** 31)]),
    settledAt: sharedNumber(0),
    rejects: sharedNumber(0),
    keepAlive: false,
  };
}

export function stopWorker({ state }) {
  Atomics.store(state.control, CONTROL.STOP, 1);
}

/** Counts of a worker; `unjudged` are packets accepted without looking at them. */
export function countsOf({ state: { counters } }) {
  const { PACKETS, DROPPED, EXCEPTIONS, UNJUDGED, EVICTIONS } = COUNTER;
  const at = (slot) => counters[slot];
  return {
    packets: at(PACKETS),
    dropped: at(DROPPED),
    exceptions: at(EXCEPTIONS),
    unjudged: at(UNJUDGED),
    evictions: at(EVICTIONS),
  };
}

/** The worker's pipeline without a queue. @param filter that of another configuration than the one as shipped */
export function newPipeline(filter = parseConfig('', 'bench').filter) {
  return new Pipeline({ config: filter, seed: randomInt(2 ** 32) });
}
