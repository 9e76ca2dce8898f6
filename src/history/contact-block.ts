import type { EpochMs } from '../base/clock.js';
import { type AddressWords, formatWords } from '../net/address.js';
import type { OpenedContact } from './contact-table.js';
import { HOUR_MS } from './segment.js';
import { addAddress, TermFilter } from './term-filter.js';

/** An outside address and an inside host that spoke to each other within one hour. */
export interface ContactRow {
  /** Start of the hour. */
  readonly hour: EpochMs;
  readonly outside: string;
  readonly inside: string;
  /** The server's port; 0 for protocols without ports. */
  readonly port: number;
  /** Which end opened the flows. */
  readonly opened: 'outside' | 'inside';
  readonly flows: number;
  /** Of both directions. */
  readonly bytes: number;
  /** Answers as asked for: HTTP status 200 to 399, TLS sessions. */
  readonly replies: number;
}

/** The row of a contact; `null` when both ends are on the same side. */
export function contactRow(contact: OpenedContact, isInside: (words: AddressWords) => boolean): ContactRow | null {
  const { hour, opener, responder, port, flows, bytes, replies } = contact;
  const openerInside = isInside(opener);
  if (openerInside === isInside(responder)) return null;
  const [outside, inside] = openerInside ? [responder, opener] : [opener, responder];
  return {
    hour,
    outside: formatWords(outside),
    inside: formatWords(inside),
    port,
    opened: openerInside ? 'inside' : 'outside',
    flows,
    bytes,
    replies,
  };
}

export interface EncodedContacts {
  readonly from: EpochMs;
  readonly to: EpochMs;
  readonly filter: TermFilter;
  /** Not yet compressed. */
  readonly body: Buffer;
}

/** One line of JSON for each row. @param rows at least one */
export function encodeContacts(rows: readonly ContactRow[]): EncodedContacts {
  const terms = new Set<string>();
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (const { hour, outside } of rows) {
    addAddress(terms, outside);
    from = Math.min(from, hour);
    to = Math.max(to, hour + HOUR_MS - 1);
  }
  const lines = rows.map(({ hour, outside, inside, port, opened, flows, bytes, replies }) =>
    JSON.stringify([outside, inside, hour / HOUR_MS, port, opened === 'outside' ? 1 : 0, flows, bytes, replies]),
  );
  return { from, to, filter: TermFilter.of(terms), body: Buffer.from(lines.join('\n')) };
}

/** @throws SyntaxError when the bytes are not a block's */
export function decodeContacts(body: Buffer): ContactRow[] {
  return body
    .toString('utf8')
    .split('\n')
    .map((line) => {
      const [outside, inside, hour, port, opened, flows, bytes, replies] = JSON.parse(line) as [
        string,
        string,
        ...number[],
      ];
      return {
        hour: (hour as number) * HOUR_MS,
        outside,
        inside,
        port: port as number,
        opened: opened === 1 ? 'outside' : 'inside',
        flows: flows as number,
        bytes: bytes as number,
        replies: replies as number,
      };
    });
}
