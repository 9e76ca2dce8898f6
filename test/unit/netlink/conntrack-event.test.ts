import { describe, expect, it } from 'vitest';
import { EVENT, EventReader, filterProgram } from '../../../src/netlink/conntrack-event.js';

/** Events of kernel 6.18 on x86-64, byte by byte. */
const REPLY4 = '340002801400018008000100cb00710108000200cb0071421c000280050001000600000006000200%s06000300%s0000';
const orig4 = (ports: string) =>
  `340001801400018008000100cb00714208000200cb0071011c000280050001000600000006000200${ports.slice(0, 4)}000006000300${ports.slice(4)}0000`;
const reply4 = (ports: string) => REPLY4.replace('%s', `${ports.slice(4)}0000`).replace('%s', ports.slice(0, 4));
const CURL4 = 'aa080050';
const CAPTURED = {
  // SYN, SYN+ACK, ACK of one connection, its FIN, and the end of the entry of others.
  new4: `c400000000010006000000000000000002000000${orig4(CURL4)}${reply4(CURL4)}08000c0043659e5508000300000000080800070000000003300004802c0001800500010001000000050002000a000000050003000000000006000400030000000600050000000000`,
  synReceived4: `c400000000010000000000000000000002000000${orig4(CURL4)}${reply4(CURL4)}08000c0043659e55080003000000000a080007000000003c300004802c0001800500010002000000050002000a000000050003000a00000006000400030000000600050023000000`,
  established4: `c400000000010000000000000000000002000000${orig4(CURL4)}${reply4(CURL4)}08000c0043659e55080003000000000e0800070000069780300004802c0001800500010003000000050002000a000000050003000a00000006000400230000000600050023000000`,
  finWait4: `c400000000010000000000000000000002000000${orig4(CURL4)}${reply4(CURL4)}08000c0043659e55080003000000000e0800070000000078300004802c0001800500010004000000050002000a000000050003000a00000006000400230000000600050037000000`,
  established6:
    'f40000000001000000000000000000000a0000004c0001802c0001801400030020010db80066000000000000000000661400040020010db80066000000000000000000011c000280050001000600000006000200c818000006000300005000004c0002802c0001801400030020010db80066000000000000000000011400040020010db80066000000000000000000661c0002800500010006000000060002000050000006000300c818000008000c0097ef93e9080003000000000e0800070000069780300004802c0001800500010003000000050002000a000000050003000a00000006000400230000000600050023000000',
  /** SYN to a closed port. */
  refusedSyn: `a400000002010000000000000000000002000000${orig4('0bae0051')}${reply4('0bae0051')}08000c002f9ea94b08000300000002080800070000000003100004800c0001800500010008000000`,
  /** ACK out of nowhere to a closed port. */
  refusedAck: `a400000002010000000000000000000002000000${orig4('0bae0052')}${reply4('0bae0052')}08000c002b7786410800030000000208080007000000012c100004800c0001800500010008000000`,
  /** SYN, SYN+ACK, RST: goes ten seconds later. */
  resetByClient: `9c00000002010000000000000000000002000000${orig4('0a740050')}${reply4('0a740050')}08000c00ea32a7c5080003000000020a100004800c0001800500010008000000`,
};
const bytesOf = (name: keyof typeof CAPTURED): Uint8Array => {
  const bytes = Uint8Array.from(Buffer.from(CAPTURED[name], 'hex'));
  // The first number of a message is its length.
  expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(bytes.length);
  return bytes;
};
const read = (bytes: Uint8Array) => {
  const reader = new EventReader(bytes);
  return { event: reader.read(0, bytes.length), connection: reader.connection };
};
const NAMES = Object.keys(CAPTURED) as (keyof typeof CAPTURED)[];
const CLIENT4 = 0xcb007142 | 0;
const SERVER4 = 0xcb007101 | 0;

describe('an event of connection tracking', () => {
  it('is completed by the third packet of the handshake and by nothing before or after it', () => {
    expect(read(bytesOf('established4'))).toEqual({
      event: EVENT.COMPLETED,
      connection: {
        family: 4,
        source0: CLIENT4,
        source1: 0,
        source2: 0,
        source3: 0,
        target0: SERVER4,
        target1: 0,
        target2: 0,
        target3: 0,
        sourcePort: 0xaa08,
        targetPort: 80,
      },
    });
    for (const name of ['new4', 'synReceived4', 'finWait4'] as const)
      expect(read(bytesOf(name)).event).toBe(EVENT.OTHER);
  });

  it('has the addresses of IPv6 in four words', () => {
    expect(read(bytesOf('established6'))).toEqual({
      event: EVENT.COMPLETED,
      connection: {
        family: 6,
        source0: 0x20010db8,
        source1: 0x00660000,
        source2: 0,
        source3: 0x66,
        target0: 0x20010db8,
        target1: 0x00660000,
        target2: 0,
        target3: 1,
        sourcePort: 0xc818,
        targetPort: 80,
      },
    });
  });

  it('is refused when RST was the only answer, to a SYN and to an ACK, and not when SYN+ACK came before it', () => {
    expect(read(bytesOf('refusedSyn'))).toMatchObject({
      event: EVENT.REFUSED,
      connection: { family: 4, source0: CLIENT4, target0: SERVER4, sourcePort: 0x0bae, targetPort: 0x51 },
    });
    expect(read(bytesOf('refusedAck'))).toMatchObject({ event: EVENT.REFUSED, connection: { targetPort: 0x52 } });
    expect(read(bytesOf('resetByClient')).event).toBe(EVENT.OTHER);
  });

  it('leaves nothing of an IPv6 connection in the IPv4 one that is read after it', () => {
    const both = new Uint8Array([...bytesOf('established6'), ...bytesOf('established4')]);
    const reader = new EventReader(both);
    reader.read(0, 244);
    expect(reader.read(244, 196)).toBe(EVENT.COMPLETED);
    expect(reader.connection).toMatchObject({ family: 4, source0: CLIENT4, source3: 0, target3: 0 });
  });

  it('is of no interest when it is cut anywhere', () => {
    for (const name of NAMES) {
      const bytes = bytesOf(name);
      for (let length = 0; length < bytes.length; length++) {
        expect(read(bytes.slice(0, length)).event).toBe(EVENT.OTHER);
        // Cut by the receive buffer, with other bytes behind it.
        expect(new EventReader(bytes).read(0, length)).toBe(EVENT.OTHER);
      }
    }
  });

  it('is read without a throw and without a value that is no number, whatever the bytes', () => {
    let others = 0;
    for (const name of NAMES) {
      const bytes = bytesOf(name);
      for (let at = 0; at < bytes.length; at++) {
        for (const value of [0, 1, 0x7f, 0xff, (bytes[at] as number) ^ 4]) {
          const changed = bytes.slice();
          changed[at] = value;
          const { event, connection } = read(changed);
          if (event === EVENT.OTHER) others += 1;
          else for (const number of Object.values(connection)) expect(Number.isInteger(number)).toBe(true);
        }
      }
    }
    expect(others).toBeGreaterThan(1000);
  });
});

/** What classic BPF (linux/filter.h) does with a message; the kernel's own run is in the integration test. */
function accepts(program: Uint8Array, message: Uint8Array): boolean {
  const code = new DataView(program.buffer);
  const data = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let a = 0;
  let x = 0;
  const find = (from: number, end: number): number => {
    for (let at = from; at + 4 <= end; ) {
      const length = data.getUint16(at, true);
      if (length < 4 || at + length > end) return 0;
      if ((data.getUint16(at + 2, true) & 0x3fff) === x) return at;
      at += (length + 3) & ~3;
    }
    return 0;
  };
  for (let at = 0; at < program.length / 8; at++) {
    const k = code.getUint32(8 * at + 4, true);
    switch (code.getUint16(8 * at, true)) {
      case 0x00:
        a = k;
        break;
      case 0x01:
        x = k;
        break;
      case 0x07:
        x = a;
        break;
      case 0x20:
        a =
          k === 0xfffff00c
            ? find(a, message.length)
            : find(a + 4, Math.min(message.length, a + data.getUint16(a, true)));
        break;
      case 0x30:
        a = data.getUint8(k);
        break;
      case 0x40:
        a = data.getUint32(x + k);
        break;
      case 0x50:
        a = data.getUint8(x + k);
        break;
      case 0x54:
        a &= k;
        break;
      case 0x15:
        at += a === k ? code.getUint8(8 * at + 2) : code.getUint8(8 * at + 3);
        break;
      case 0x06:
        return k !== 0;
      default:
        throw new Error(`instruction ${at} is unknown`);
    }
  }
  throw new Error('the program has no end');
}

describe('the socket filter', () => {
  it('takes what the reader takes, and leaves the rest', () => {
    const taken = NAMES.filter((name) => accepts(filterProgram(), bytesOf(name)));
    expect(taken).toEqual(['established4', 'established6', 'refusedSyn', 'refusedAck']);
    expect(taken).toEqual(NAMES.filter((name) => read(bytesOf(name)).event !== EVENT.OTHER));
  });
});
