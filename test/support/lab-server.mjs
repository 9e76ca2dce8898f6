// A machine with services: node lab-server.mjs WEB PORT... The first port serves pages, the others greet, and end
// when the client does. Ready when it prints "ready".
import { createServer as createWeb } from 'node:http';
import { createServer } from 'node:net';

const [web, ...others] = process.argv.slice(2).map(Number);
const page = Buffer.alloc(2048, 'a page\n');
const pages = createWeb((request, response) => {
  const size = Number(/^\/bytes\/(\d+)$/.exec(request.url ?? '')?.[1] ?? page.length);
  response.end(size === page.length ? page : Buffer.alloc(size, 'x'));
});
const listening = [
  new Promise((ready) => pages.listen({ port: web, host: '::', backlog: 4096 }, ready)),
  ...others.map((port) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => socket.write(bytes));
      socket.write('hello\n');
    });
    return new Promise((ready) => server.listen({ port, host: '::', backlog: 4096 }, ready));
  }),
];
await Promise.all(listening);
process.stdout.write('ready\n');
