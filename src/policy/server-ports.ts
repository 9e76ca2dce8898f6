/** Ports above 1023 on which servers commonly listen (IANA registry, and what is seen in practice). */
const REGISTERED = new Set([
  1194, 1433, 1521, 1723, 1883, 2049, 2082, 2083, 2222, 2375, 2376, 3000, 3128, 3268, 3269, 3306, 3389, 4443, 5000,
  5060, 5061, 5222, 5269, 5432, 5601, 5672, 5900, 5901, 5984, 5985, 5986, 6379, 6443, 6667, 6668, 6697, 7001, 8000,
  8008, 8009, 8080, 8081, 8086, 8088, 8443, 8888, 9000, 9042, 9090, 9092, 9200, 9300, 9418, 9443, 10000, 11211, 27017,
]);
/** Linux takes client ports from 32768 on, Windows and macOS from 49152. */
const FIRST_CLIENT_PORT = 32_768;

/**
 * Guesses which end is the server when nothing else tells who opened the flow:
 * a system port against a port above 1023, or a common server port against a
 * port that clients take. Anything less clear is `null`, for a wrong guess
 * would accuse a server that we called.
 */
export function guessServer(src: number | null, dest: number | null): 'src' | 'dest' | null {
  if (src === null || dest === null) return null;
  const srcServes = serves(src, dest);
  return srcServes === serves(dest, src) ? null : srcServes ? 'src' : 'dest';
}

function serves(port: number, other: number): boolean {
  if (port > 0 && port < 1024) return other >= 1024 && !REGISTERED.has(other);
  return REGISTERED.has(port) && other >= FIRST_CLIENT_PORT;
}
