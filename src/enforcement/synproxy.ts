import { readFileSync } from 'node:fs';

/** What SYNPROXY needs, and what the kernel has where the file is missing. */
const NEEDED: readonly (readonly [name: string, wanted: string, byDefault: string])[] = [
  // Else the ACK that ends a handshake counts as the middle of a connection, and never reaches SYNPROXY.
  ['net.netfilter.nf_conntrack_tcp_loose', '0', '1'],
  // The options of the connection are kept in the timestamp.
  ['net.ipv4.tcp_timestamps', '1', '0'],
];

/** Why SYNPROXY would break connections on this machine; `null` when it works. Barricata writes no sysctls. */
export function synproxyProblem(): string | null {
  const wrong = NEEDED.filter(([name, wanted, byDefault]) => (sysctl(name) ?? byDefault) !== wanted);
  if (wrong.length === 0) return null;
  return `SYNPROXY needs ${wrong.map(([name, wanted]) => `${name}=${wanted}`).join(' and ')}`;
}

/** The command that sets what is wrong. */
export const SYNPROXY_FIX = `sysctl -w ${NEEDED.map(([name, wanted]) => `${name}=${wanted}`).join(' ')}, and in /etc/sysctl.d for good`;

/** The value of a kernel parameter in this network namespace; `null` where there is none. */
export function sysctl(name: string): string | null {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'latin1').trim();
  } catch {
    return null;
  }
}
