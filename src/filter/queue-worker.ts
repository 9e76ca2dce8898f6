/** The worker thread of one queue; see `queue-loop`. */
import { parentPort, workerData } from 'node:worker_threads';
import { Pipeline } from './pipeline.js';
import { runQueueLoop } from './queue-loop.js';
import { SharedCounts } from './shared-counts.js';
import type { WorkerInput } from './shared-state.js';

const input = workerData as WorkerInput;
const { filter: config, seed, home, queues, sharedCounts, index } = input;
const shared = sharedCounts && new SharedCounts(sharedCounts, index);
runQueueLoop(
  input,
  (connections) => new Pipeline({ config, seed, home, connections, share: 1 / queues, shared }),
  (message) => parentPort?.postMessage(message),
);
