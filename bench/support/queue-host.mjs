// A process that holds one worker thread of the packet path, as the daemon does:
//
//   queue-host.mjs QUEUE barricata|accept BACKLOG
//
// `barricata` runs the real worker entry, `accept` the same receive and verdict
// calls and accepts everything. Prints {"tid"} of the worker's thread when its
// queue is bound, and its counts when told to end.
import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { countsOf, stopWorker, workerInput, workerUrl } from './filter.mjs';

const [queue, what, backlog] = process.argv.slice(2);
const threads = () => readdirSync('/proc/self/task');
const before = new Set(threads());
const input = workerInput(Number(queue), Number(backlog));
const url = what === 'accept' ? new URL('accept-worker.mjs', import.meta.url) : workerUrl;
const worker = new Worker(url, { workerData: input, execArgv: [] });
let detections = 0;
worker.on('message', (message) => {
  if (message.kind === 'failed') throw new Error(message.error.message);
  if (message.kind === 'detections') detections += message.detections.length;
  if (message.kind !== 'bound') return;
  const own = threads().filter((id) => !before.has(id));
  if (own.length !== 1) throw new Error(`${own.length} threads came with the worker`);
  console.log(JSON.stringify({ tid: Number(own[0]) }));
});
worker.on('exit', () => {
  console.log(JSON.stringify({ ...countsOf(input), detections }));
  process.exit(0);
});
process.once('SIGTERM', () => stopWorker(input));
