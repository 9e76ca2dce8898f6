// An innocent client: node lab-client.mjs URL EVERY_MS. Asks over a new connection each time, at most a second long, and
// prints one line of JSON a request: { at, ms, ok }.
import { get } from 'node:http';

const [url, every] = process.argv.slice(2);
const GIVE_UP_MS = 1000;

function ask() {
  const at = Date.now();
  const began = performance.now();
  let told = false;
  const tell = (ok) => {
    if (told) return;
    told = true;
    process.stdout.write(`${JSON.stringify({ at, ms: performance.now() - began, ok })}\n`);
  };
  const request = get(url, { agent: false, timeout: GIVE_UP_MS }, (response) => {
    response.resume();
    response.on('end', () => tell(response.statusCode === 200));
  });
  request.on('timeout', () => request.destroy());
  request.on('error', () => tell(false));
  setTimeout(() => request.destroy(), GIVE_UP_MS).unref();
}
setInterval(ask, Number(every));
