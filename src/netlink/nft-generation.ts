import { NFNL_SUBSYS_NFTABLES, NLM_F_REQUEST } from './constants.js';
import { ATTRIBUTES_AT, AttributeReader, HEADER_LENGTH, MessageWriter } from './message.js';
import { NetlinkSocket } from './socket.js';

const NFT_MSG_NEWGEN = 15;
const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;

/**
 * Reads the generation of nf_tables: a number that grows with every change that
 * anybody makes to any rule by nft or iptables-nft in this network namespace
 * (linux/netfilter/nf_tables.h). Set elements of ipset do not change it, and
 * iptables-legacy does not either.
 */
export class NftGeneration {
  readonly #socket: NetlinkSocket;
  readonly #attributes: AttributeReader;
  readonly #out = new MessageWriter(new Uint8Array(32));

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.#attributes = new AttributeReader(socket.buffer);
  }

  /** @throws NetlinkError when no netlink socket can be opened */
  static open(): NftGeneration {
    return new NftGeneration(NetlinkSocket.open());
  }

  /** The generation now; `null` where the kernel has no nf_tables. About 3 microseconds. */
  read(): number | null {
    const sequence = this.#socket.nextSequence();
    this.#out.clear();
    this.#out.begin({
      type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN,
      flags: NLM_F_REQUEST,
      sequence,
      family: 0,
    });
    this.#socket.send(this.#out.buffer, this.#out.finish());
    const answer = this.#socket.answer(sequence);
    if (answer.type !== ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN)) return null;
    this.#attributes.over(answer.start - HEADER_LENGTH + ATTRIBUTES_AT, answer.end);
    while (this.#attributes.next()) if (this.#attributes.type === NFTA_GEN_ID) return this.#attributes.be32();
    return null;
  }

  close(): void {
    this.#socket.close();
  }
}
