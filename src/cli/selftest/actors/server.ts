/** The server of the self-test, a process inside its namespace: one page on one port. */
import { createServer } from 'node:http';

const server = createServer((_request, response) => {
  response.writeHead(200, { connection: 'close' });
  response.end('hello');
});
server.listen(Number(process.argv[2]), '0.0.0.0', () => process.stdout.write('ready\n'));
process.stdin.on('end', () => process.exit(0)).resume();
