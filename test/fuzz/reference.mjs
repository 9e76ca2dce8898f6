/**
 * A second parser of IP packets, to compare the fast one with: written from the
 * standards (RFC 791, 8200, 4302, 2675, 9293, 768, 3828, 9260, 792, 4443), slowly,
 * on a copy that holds the packet and nothing else. What cannot be read because
 * the bytes end is thrown as `Missing` and judged at one place.
 */

export const REFERENCE_OUTCOME = { OK: 0, FRAGMENT: 1, TRUNCATED: 2, MALFORMED: 3 };
const { OK, FRAGMENT, TRUNCATED, MALFORMED } = REFERENCE_OUTCOME;

/** More extension headers than this are an attack, not a packet. */
const MOST_EXTENSIONS = 12;

class Missing {
  constructor(upTo) {
    this.upTo = upTo;
  }
}
class Contradiction {}

/** The bytes of one packet; `need` says which of them have to be there. */
class Bytes {
  constructor(data) {
    this.data = data;
  }
  /** @param whole how much that what begins here is at least */
  need(from, count, whole = count) {
    if (from + count > this.data.length) throw new Missing(from + whole);
  }
  byte(at) {
    this.need(at, 1);
    return this.data[at];
  }
  short(at) {
    return this.byte(at) * 256 + this.byte(at + 1);
  }
  address(at, count) {
    this.need(at, count);
    return Array.from(this.data.subarray(at, at + count));
  }
}

/**
 * @param data the captured bytes alone
 * @param wire bytes of the packet before it was cut
 * @returns outcome and what was found until then
 */
export function reference(data, wire) {
  const found = {
    ...{ outcome: OK, family: 0, source: [], target: [], protocol: 0, length: 0 },
    ...{ transport: false, sourcePort: 0, targetPort: 0, flags: 0, type: 0, code: 0 },
  };
  const state = { more: false };
  try {
    const version = Math.floor(new Bytes(data).byte(0) / 16);
    if (version === 4) internetProtocol4(data, wire, found, state);
    else if (version === 6) internetProtocol6(data, wire, found, state);
    else throw new Contradiction();
  } catch (error) {
    if (error instanceof Contradiction) found.outcome = MALFORMED;
    else if (!(error instanceof Missing)) throw error;
    // A first fragment may end anywhere; else either the sender wrote too small a length, or the rest was cut off.
    else if (state.more) found.outcome = FRAGMENT;
    else found.outcome = found.length > 0 && error.upTo > found.length ? MALFORMED : TRUNCATED;
  }
  return found;
}

/** RFC 791 section 3.1. */
function internetProtocol4(data, wire, found, state) {
  const head = new Bytes(data);
  head.need(0, 20);
  const headerBytes = (head.byte(0) % 16) * 4;
  const total = head.short(2) === 0 ? wire : head.short(2);
  if (headerBytes < 20 || total < headerBytes) throw new Contradiction();
  Object.assign(found, { family: 4, length: total, protocol: head.byte(9) });
  Object.assign(found, { source: head.address(12, 4), target: head.address(16, 4) });
  const packet = new Bytes(data.subarray(0, total));
  packet.need(0, headerBytes);
  const position = head.short(6) % 8192;
  if (position > 0) {
    found.outcome = FRAGMENT;
    return;
  }
  state.more = Math.floor(head.short(6) / 8192) % 2 === 1;
  upperLayer(packet, headerBytes, found, state);
}

/** RFC 8200 sections 3 and 4. */
function internetProtocol6(data, wire, found, state) {
  const head = new Bytes(data);
  head.need(0, 40);
  const payload = head.short(4);
  Object.assign(found, { family: 6, length: payload > 0 ? 40 + payload : Math.max(40, wire) });
  Object.assign(found, { source: head.address(8, 16), target: head.address(24, 16) });
  const packet = new Bytes(data.subarray(0, found.length));
  let kind = head.byte(6);
  let at = 40;
  for (let count = 0; [0, 43, 44, 51, 60].includes(kind); count++) {
    if (count === MOST_EXTENSIONS) throw new Contradiction();
    // Without its length it is taken for as short as it can be.
    packet.need(at, 2, 8);
    // RFC 4302 section 2.2 counts in words of 4 bytes, minus 2; the others in 8, without the first; a fragment has 8.
    let size = 8;
    if (kind === 51) size = (packet.byte(at + 1) + 2) * 4;
    else if (kind !== 44) size = (packet.byte(at + 1) + 1) * 8;
    packet.need(at, size);
    if (kind === 44) {
      if (packet.short(at + 2) >= 8) {
        Object.assign(found, { outcome: FRAGMENT, protocol: packet.byte(at) });
        return;
      }
      if (packet.short(at + 2) % 2 === 1) state.more = true;
    }
    kind = packet.byte(at);
    at += size;
  }
  found.protocol = kind;
  upperLayer(packet, at, found, state);
}

function upperLayer(packet, at, found, state) {
  const { protocol, family } = found;
  const ports = () =>
    Object.assign(found, { transport: true, sourcePort: packet.short(at), targetPort: packet.short(at + 2) });
  if (protocol === 6) {
    packet.need(at, 20);
    const words = Math.floor(packet.byte(at + 12) / 16);
    if (words < 5 || (!state.more && at + words * 4 > found.length)) throw new Contradiction();
    ports();
    found.flags = packet.byte(at + 13);
  } else if (protocol === 17 || protocol === 136) {
    packet.need(at, 8);
    ports();
  } else if (protocol === 132) {
    packet.need(at, 12);
    ports();
  } else if ((protocol === 1 && family === 4) || (protocol === 58 && family === 6)) {
    packet.need(at, 4);
    Object.assign(found, { transport: true, type: packet.byte(at), code: packet.byte(at + 1) });
  }
}
