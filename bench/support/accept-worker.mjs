// The floor where there is no C compiler: the receive and verdict calls of the
// worker with nothing between them.
import { parentPort, workerData } from 'node:worker_threads';
import { CONTROL, COUNTER } from '../../dist/filter/shared-state.js';
import { Nfqueue } from '../../dist/netlink/nfqueue.js';
import { NetlinkSocket } from '../../dist/netlink/socket.js';

const { queue: number, failOpen, backlog, state } = workerData;
const socket = NetlinkSocket.open();
const queue = Nfqueue.open({ number, failOpen, backlog, waitMs: 200 }, socket);
parentPort.postMessage({ kind: 'bound' });
const accept = () => 1;
while (Atomics.load(state.control, CONTROL.STOP) === 0) queue.step(accept);
state.counters[COUNTER.PACKETS] = queue.packets;
socket.close();
