import type { Address } from '../net/address.js';
import { type Prefix, parseHost } from '../net/prefix.js';
import type { PrefixSet } from '../net/prefix-set.js';
import type { EveAlert } from '../suricata/eve-alert.js';

/** Addresses that are read of one X-Forwarded-For value, from its right end. */
const AT_MOST = 20;
const COMMA = ',';

/**
 * The client that trusted proxies name: the rightmost address of the header that
 * is no trusted proxy. Each proxy appends the address it saw, so what stands to
 * the left of that one was written by the client and says nothing; for the same
 * reason the search ends at a token that is no address.
 *
 * @param xff `X-Forwarded-For` as logged, unsplit
 * @returns `null` when the header names none
 */
export function forwardedClient(xff: string, trusted: PrefixSet<true>): Prefix | null {
  let end = xff.length;
  for (let read = 0; read < AT_MOST && end >= 0; read++) {
    const comma = end === 0 ? -1 : xff.lastIndexOf(COMMA, end - 1);
    const host = hostOf(xff.slice(comma + 1, end));
    if (host === null || trusted.covering(host) === null) return host;
    end = comma;
  }
  return null;
}

/** One element: an address, `address:port`, `[IPv6]` or `[IPv6]:port`, quoted or not. */
function hostOf(element: string): Prefix | null {
  let text = element.trim();
  if (text.length > 1 && text.startsWith('"') && text.endsWith('"')) text = text.slice(1, -1);
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    return close > 0 && isPort(text.slice(close + 1)) ? parseHost(text.slice(1, close)) : null;
  }
  const colon = text.indexOf(':');
  const isIpv4WithPort = colon > 0 && colon === text.lastIndexOf(':') && text.includes('.');
  if (!isIpv4WithPort) return parseHost(text);
  return isPort(text.slice(colon)) ? parseHost(text.slice(0, colon)) : null;
}

/** `:443`, or nothing. */
function isPort(text: string): boolean {
  return text === '' || /^:\d{1,5}$/.test(text);
}

/**
 * In `xff: mode: overwrite` Suricata writes what the client claimed into
 * `src_ip` or `dest_ip`; nothing in the record tells that it did, but that the
 * claim stands there.
 *
 * @returns the address that may be the client's own choice, or `null`
 */
export function overwrittenBy({ xff, src, dest }: Pick<EveAlert, 'xff' | 'src' | 'dest'>): Address | null {
  if (xff === null) return null;
  const claim = hostOf(xff)?.text;
  if (claim === undefined) return null;
  return claim === src?.address || claim === dest?.address ? (claim as Address) : null;
}
