/**
 * The innocent of the self-test, a process inside its namespace: asks the server
 * for a page again and again, each time by a connection of its own, and answers
 * each line on standard input by how many were served since the last, and how many not.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const EVERY_MS = 50;
const WITHIN_MS = 1000;

const [host = '', port = ''] = process.argv.slice(2);
let served = 0;
let failed = 0;

function ask(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    let answer = '';
    socket.setTimeout(WITHIN_MS, () => socket.destroy());
    socket.on('connect', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer.includes('200 OK')));
  });
}

async function go(): Promise<never> {
  for (;;) {
    if (await ask()) served += 1;
    else failed += 1;
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', () => {
  process.stdout.write(`${JSON.stringify({ served, failed })}\n`);
  served = failed = 0;
});
lines.on('close', () => process.exit(0));
void go();
process.stdout.write('ready\n');
