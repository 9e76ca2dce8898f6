// New connections as fast as they are wanted: node rush.mjs HOST PORT EVERY_MS|xPARALLEL ODD_MS. Each waits for the
// greeting and is reset then. Ten times a second prints { at, done, odd: [{ at, ms, ok }] }: how many ended since, and those that
// failed or took ODD_MS or longer. A connection may take ten seconds; `ms` is how long it has.
import { connect } from 'node:net';

const [host, port, pace, oddMs] = process.argv.slice(2);
const GIVE_UP_MS = 10_000;
let done = 0;
let odd = [];

function attempt(then) {
  const at = Date.now();
  const began = performance.now();
  const socket = connect({ host, port: Number(port) });
  const end = (ok) => {
    const ms = performance.now() - began;
    done += 1;
    if (!ok || ms >= Number(oddMs)) odd.push({ at, ms: Math.round(ms * 10) / 10, ok });
    then();
  };
  socket.setTimeout(GIVE_UP_MS, () => {
    socket.destroy();
    end(false);
  });
  socket.once('data', () => {
    socket.removeAllListeners('error');
    socket.on('error', () => {});
    socket.resetAndDestroy();
    end(true);
  });
  socket.on('error', () => end(false));
}

if (pace.startsWith('x')) {
  const again = () => attempt(again);
  for (let i = 0; i < Number(pace.slice(1)); i++) again();
} else {
  setInterval(() => attempt(() => {}), Number(pace));
}
setInterval(() => {
  process.stdout.write(`${JSON.stringify({ at: Date.now(), done, odd })}\n`);
  done = 0;
  odd = [];
}, 100);
