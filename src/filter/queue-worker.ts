/** The worker thread of one queue; see `queue-loop`. */
import { parentPort, workerData } from 'node:worker_threads';
import { Pipeline } from './pipeline.js';
import { runQueueLoop } from './queue-loop.js';
import type { WorkerInput } from './shared-state.js';

const input = workerData as WorkerInput;
runQueueLoop(input, new Pipeline({ config: input.filter, seed: input.seed }), (message) => parentPort?.postMessage(message));
