/** Writes captures of web requests, for a Suricata that reads files. */
import { be16, ip } from './packets.js';

const SYN = 2;
const ACK = 16;
const PSH_ACK = 24;
const FIN_ACK = 17;

export interface Request {
  /** Seconds since 1970. */
  readonly at: number;
  readonly client: string;
  readonly server: string;
  readonly clientPort: number;
  readonly path: string;
}

/** A classic pcap file, link type raw IP, with one whole TCP connection a request. */
export function captureOf(requests: readonly Request[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(101, 20);
  return Buffer.concat([header, ...requests.flatMap(connection)]);
}

function connection({ at, client, server, clientPort, path }: Request): Buffer[] {
  const request = [...Buffer.from(`GET ${path} HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: test\r\n\r\n`)];
  const answer = [...Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok')];
  let inSeq = 1000;
  let outSeq = 9000;
  let step = 0;
  const packet = (fromClient: boolean, flags: number, data: readonly number[] = []): Buffer => {
    const [seq, ack] = fromClient ? [inSeq, outSeq] : [outSeq, inSeq];
    const ports = fromClient ? [clientPort, 80] : [80, clientPort];
    const tcp = [
      ...ports.flatMap(be16),
      ...be32(seq),
      ...be32(flags === SYN ? 0 : ack),
      ...[0x50, flags, 0xff, 0xff, 0, 0, 0, 0],
      ...data,
    ];
    const taken = data.length + ((flags & 3) === 0 ? 0 : 1);
    if (fromClient) inSeq += taken;
    else outSeq += taken;
    const [from, to] = fromClient ? [client, server] : [server, client];
    step += 1;
    return record(at + step / 1000, ip(from, to, 6, tcp));
  };
  return [
    packet(true, SYN),
    packet(false, SYN | ACK),
    packet(true, ACK),
    packet(true, PSH_ACK, request),
    packet(false, PSH_ACK, answer),
    packet(true, FIN_ACK),
    packet(false, FIN_ACK),
    packet(true, ACK),
  ];
}

function record(at: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(Math.floor(at), 0);
  head.writeUInt32LE(Math.round((at % 1) * 1e6), 4);
  head.writeUInt32LE(bytes.length, 8);
  head.writeUInt32LE(bytes.length, 12);
  return Buffer.concat([head, bytes]);
}

function be32(value: number): number[] {
  return [...be16(value >>> 16), ...be16(value & 0xffff)];
}
