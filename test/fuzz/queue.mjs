/**
 * Drives one queue (`Nfqueue.step`) with generated netlink messages, hostile
 * ones too. A stand-in for the kernel keeps the packets that wait and settles
 * them as nfnetlink_queue does: a batch verdict holds for every waiting packet
 * up to its id. Each packet must get the verdict of its own bytes, once, in order.
 */
import { Random } from './random.mjs';

const PACKET = 0x300;
const VERDICT_BATCH = 0x303;
const STRIDE = 512;
const EAGAIN = 11;
const [PACKET_HDR, MARK_IN, TIMESTAMP, PAYLOAD, CAP_LEN] = [1, 3, 4, 10, 13];
const [VERDICT_HDR, MARK] = [2, 3];

class Kernel {
  /** Batches that wait to be received, each a list of messages as bytes. */
  incoming = [];
  /** Ids without verdict, oldest first, and what became of the others: `{ id, verdict, mark }`. */
  waiting = [];
  settled = [];
  #memory = new Map();

  socket = () => 9;
  bind = () => 0;
  getsockname = () => 0;
  setsockopt = () => 0;
  close = () => 0;
  errno = () => EAGAIN;
  recv = () => -1;

  address(memory) {
    const at = BigInt(this.#memory.size + 1) << 32n;
    this.#memory.set(at, memory);
    return at;
  }

  recvmmsg(_fd, headers, count) {
    const batch = this.incoming.shift();
    if (batch === undefined) return -1;
    if (batch.length > count) throw new Error('more messages than were asked for');
    const view = new DataView(headers.buffer);
    batch.forEach((message, i) => {
      const iovec = this.#at(view.getBigUint64(i * 64 + 16, true));
      const memory = this.#at(iovec.getBigUint64(0, true));
      if (BigInt(message.length) > iovec.getBigUint64(8, true)) throw new Error('a message larger than its buffer');
      new Uint8Array(memory.buffer, memory.byteOffset, message.length).set(message);
      view.setUint32(i * 64 + 56, message.length, true);
    });
    return batch.length;
  }

  send(_fd, buffer, length) {
    const bytes = buffer.slice(0, length);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < length; ) {
      const size = view.getUint32(at, true);
      if (size < 20 || at + size > length) throw new Error(`a message of ${size} bytes where ${length - at} are left`);
      if (view.getUint16(at + 4, true) === VERDICT_BATCH) this.#settle(view, at + 20, at + size);
      at += (size + 3) & ~3;
    }
    return length;
  }

  #settle(view, from, end) {
    let [verdict, upTo, mark] = [-1, 0, null];
    for (let at = from; at < end; at += (view.getUint16(at, true) + 3) & ~3) {
      const type = view.getUint16(at + 2, true) & 0x3fff;
      if (view.getUint16(at, true) < 8) throw new Error('an attribute of a verdict without value');
      if (type === VERDICT_HDR) [verdict, upTo] = [view.getUint32(at + 4), view.getUint32(at + 8)];
      else if (type === MARK) mark = view.getUint32(at + 4);
    }
    if (verdict !== 0 && verdict !== 1) throw new Error(`verdict ${verdict}`);
    let some = false;
    while (this.waiting.length > 0 && ((upTo - this.waiting[0]) | 0) >= 0) {
      this.settled.push({ id: this.waiting.shift(), verdict, mark });
      some = true;
    }
    if (!some) throw new Error(`a verdict for nobody, up to ${upTo}`);
  }

  #at(pointer) {
    const { buffer, byteOffset } = this.#memory.get(pointer & ~0xffffffffn);
    return new DataView(buffer, byteOffset + Number(pointer & 0xffffffffn));
  }
}

const le16 = (n) => [n & 255, (n >>> 8) & 255];
const le32 = (n) => [...le16(n), ...le16(n >>> 16)];
const be32 = (n) => le32(n).reverse();
const message = (type, body, sequence = 0) => [
  ...le32(16 + body.length),
  ...le16(type),
  0,
  0,
  ...le32(sequence),
  0,
  0,
  0,
  0,
  ...body,
];
const padding = (length) => new Array((4 - (length % 4)) % 4).fill(0);
const attribute = (type, value) => [...le16(value.length + 4), ...le16(type), ...value, ...padding(value.length)];

/**
 * @param of `{ Nfqueue, NetlinkSocket, VERDICT }`
 * @returns how many packets got their verdict, and how many of them had a message that lies
 */
export function runQueue(of, { packets: total, seed }) {
  const random = new Random(seed);
  const kernel = new Kernel();
  kernel.incoming.push([message(2, [0, 0, 0, 0, ...new Array(16).fill(0)], 1)]);
  const options = { number: 100, failOpen: true, backlog: 8192, waitMs: 1 };
  const queue = of.Nfqueue.open(options, of.NetlinkSocket.open(kernel), kernel);
  const verdicts = Object.values(of.VERDICT);
  let id = random.once(2) ? 0x7fffff00 : 0;
  let [done, hostile, throws, asked] = [0, 0, 0, 0];
  while (done < total) {
    /** In order: id, bytes of the payload (`null`: nobody may be asked), and its verdict (-1: the judge throws). */
    const expected = [];
    const batch = [];
    for (let n = 1 + random.below(64); n > 0; n--) {
      if (random.once(20)) {
        batch.push(other(random));
        continue;
      }
      id = (id + (random.once(50) ? 1 + random.below(9) : 1)) >>> 0;
      const made = packetMessage(random, id);
      const verdict = random.once(30) ? -1 : random.pick(verdicts);
      expected.push({ id, verdict, ...made });
      kernel.waiting.push(id);
      if (made.hostile) hostile += 1;
      batch.push(made.bytes);
    }
    kernel.incoming.push(batch);
    const turns = expected.filter(({ payload }) => payload !== null);
    const judge = (bytes, start, captured, wire) => {
      const turn = turns.shift();
      if (turn === undefined) throw new Error('asked once too often');
      const { payload, wireLength } = turn;
      asked += 1;
      const same = captured === payload.length && payload.every((byte, i) => bytes[start + i] === byte);
      if (!same || wire !== wireLength)
        turn.wrong = `${captured} bytes of ${wire}, not ${payload.length} of ${wireLength}`;
      if (turn.verdict < 0) {
        throws += 1;
        throw new Error('a defect of the judge');
      }
      return turn.verdict;
    };
    const got = queue.step(judge, false);
    const report = (what) => {
      throw new Error(
        `${what}\nseed ${seed}, after ${done} packets, batch ${JSON.stringify(batch.map((m) => Buffer.from(m).toString('hex')))}`,
      );
    };
    if (got !== expected.length) report(`${got} packets, sent ${expected.length}`);
    if (turns.length > 0) report(`${turns.length} packets were not judged`);
    if (kernel.waiting.length > 0) report(`no verdict for ${kernel.waiting}`);
    for (const [i, one] of expected.entries()) {
      const settled = kernel.settled[i];
      if (one.wrong !== undefined) report(one.wrong);
      const verdict = one.payload === null || one.verdict < 0 ? of.VERDICT.ACCEPT : one.verdict;
      if (settled?.id !== one.id) report(`packet ${one.id} in the place of ${settled?.id}`);
      if ((settled.verdict === 0) !== (verdict === 0)) report(`packet ${one.id}: ${settled.verdict} for ${verdict}`);
      if ((settled.mark !== null) !== (verdict === 2)) report(`packet ${one.id}: mark ${settled.mark} for ${verdict}`);
    }
    kernel.settled.length = 0;
    done += expected.length;
  }
  if (queue.exceptions !== throws) throw new Error(`${queue.exceptions} exceptions, ${throws} thrown`);
  return { packets: done, hostile, asked, exceptions: throws };
}

/** What is no packet: errors, other subsystems, messages that end too early. */
function other(random) {
  const kind = random.below(4);
  if (kind === 0) return message(2, [...be32(random.word()), ...new Array(16).fill(7)], 7);
  if (kind === 1) return message(0x200 + random.below(256), new Array(random.below(100)).fill(3));
  if (kind === 2) return message(PACKET, new Array(random.below(16)).fill(1));
  return message(random.below(65_536) & ~0x300, []).slice(0, random.below(17));
}

/** One packet as the kernel lays it out, or with a lie in it. `payload` is what a judge must be given, `null` if none. */
function packetMessage(random, id) {
  const payload = Array.from({ length: random.below(random.pick([1, 40, 129])) }, () => random.below(256));
  const cut = random.once(4);
  const between = [];
  if (random.once(2)) between.push(...attribute(MARK_IN, be32(random.word())));
  if (random.once(4)) between.push(...attribute(TIMESTAMP, new Array(16).fill(9)));
  if (random.once(4)) between.push(...attribute(5 + random.below(4), be32(random.below(9))));
  const wireLength = cut ? random.pick([payload.length, 0, 1500, 65_600, 0xffffffff]) : payload.length;
  if (cut) between.push(...attribute(CAP_LEN, be32(wireLength)));
  const head = [2, 0, 0, 100, ...attribute(PACKET_HDR, [...be32(id), 8, 0, 0])];
  const built = (body) => message(PACKET, [...head, ...body]);
  const nobody = (body) => ({ bytes: built(body), payload: null, hostile: true });
  const lie = random.below(12);
  if (lie === 0) return nobody(between);
  // An attribute whose length is shorter than its header, or longer than the message: what follows cannot be found.
  if (lie === 1) return nobody([...between, ...le16(random.below(4)), ...le16(PAYLOAD), ...payload]);
  if (lie === 2)
    return nobody([
      ...between,
      ...le16(random.pick([payload.length + 5, 0x7fff, 0xffff])),
      ...le16(PAYLOAD),
      ...payload,
    ]);
  // The message ends within the header of an attribute.
  if (lie === 3) return nobody([...between, ...le16(payload.length + 4)]);
  let bytes = built([...between, ...attribute(PAYLOAD, payload)]);
  // Flags in the type are not a part of it.
  if (lie === 4) bytes = built([...between, ...attribute(PAYLOAD | 0x8000, payload)]);
  // A length in the message's own header that is not true: what was received counts.
  if (lie === 5) bytes.splice(0, 4, ...le32(random.word()));
  if (lie === 6) bytes = bytes.concat(new Array(random.below(STRIDE - bytes.length)).fill(random.below(256)));
  return { bytes, payload, wireLength, hostile: lie >= 4 && lie <= 6 };
}
