// Ordinary traffic: node lab-load.mjs visits|sessions HOST OPTIONS (JSON). Prints { tried, failed, first } at its end.
//
// visits: { ports, count, everyMs, expect: hello|open|refused, holdMs?, from? }: one connection after the other, each to
//   the next port and from the next address. hello waits for the greeting, open goes as soon as it is connected, and
//   refused is content with a closed port.
// sessions: { ports, count }: connections that stay; prints "open" when all are, and for each line on standard input,
//   a number of rounds, sends something on every one of them, waits for the echo and prints a summary.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const PATIENCE_MS = 3000;
const [kind, host, text] = process.argv.slice(2);
const options = JSON.parse(text);

/** Resolves to null when all was as expected, else to what was wrong. */
function visit(port, localAddress) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress });
    const end = async (problem) => {
      if (problem === null && options.holdMs) await pause(Math.random() * options.holdMs);
      socket.destroy();
      resolve(problem === null ? null : `${localAddress ?? ''} port ${port}: ${problem}`);
    };
    socket.setTimeout(PATIENCE_MS, () => end('timed out'));
    socket.on('error', (error) =>
      end(options.expect === 'refused' && error.code === 'ECONNREFUSED' ? null : `${error.code}`),
    );
    if (options.expect === 'hello') socket.on('data', () => end(null));
    else socket.on('connect', () => end(options.expect === 'open' ? null : 'is open'));
  });
}

function summary(results) {
  const failed = results.filter((problem) => problem !== null);
  process.stdout.write(`${JSON.stringify({ tried: results.length, failed: failed.length, first: failed[0] ?? '' })}\n`);
}

async function visits() {
  const { ports, count, everyMs, from } = options;
  const began = performance.now();
  const all = [];
  for (let i = 0; i < count; i++) {
    all.push(visit(ports[i % ports.length], from?.[i % from.length]));
    const ahead = began + (i + 1) * everyMs - performance.now();
    if (ahead > 0) await pause(ahead);
  }
  summary(await Promise.all(all));
}

async function sessions() {
  const sockets = await Promise.all(
    Array.from({ length: options.count }, (_, i) => {
      const socket = connect({ host, port: options.ports[i % options.ports.length] });
      socket.on('error', () => {});
      return new Promise((resolve, reject) => {
        socket.once('data', () => resolve(socket));
        socket.once('close', () => reject(new Error('closed')));
      });
    }),
  );
  process.stdout.write('open\n');
  const say = (socket) =>
    new Promise((resolve) => {
      const late = setTimeout(() => resolve('no echo'), PATIENCE_MS);
      socket.once('data', () => {
        clearTimeout(late);
        resolve(null);
      });
      socket.write('still here\n');
    });
  for await (const line of createInterface({ input: process.stdin })) {
    const results = [];
    for (let round = 0; round < Number(line); round++) {
      results.push(...(await Promise.all(sockets.map(say))));
      await pause(300);
    }
    summary(results);
  }
}

await { visits, sessions }[kind]();
