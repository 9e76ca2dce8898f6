/**
 * The entries of `suricata.eve`: files, a unix socket to listen on, or a list
 * or stream of a Redis (CONTRACT section 5).
 */

/** One entry, read. `source` names it in status, metrics and stored positions, and never holds a password. */
export type EveEntry =
  | { readonly kind: 'files'; readonly source: string }
  /** `path` is made and listened on: Suricata connects to it. */
  | { readonly kind: 'socket'; readonly source: string; readonly path: string }
  /** `url` as for the blocklist's Redis: `redis://`, `rediss://` or `unix://`; `key` is the list or the stream. */
  | { readonly kind: 'list' | 'stream'; readonly source: string; readonly url: string; readonly key: string };

/** The longest path of a unix socket is 107 bytes (unix(7)); it is made under another name beside it first. */
const LONGEST_SOCKET_PATH = 80;

/** Parameters that may stand beside `list` and `stream`: the authority of a `rediss:` server, the database of a `unix:` one. */
const OTHERS = ['ca', 'db'];

/** Reads an entry; `null` when it is none. */
export function parseEveEntry(text: string): EveEntry | null {
  if (text.startsWith('/')) return { kind: 'files', source: text };
  const [, path] = /^unix:\/\/(\/[^?#]*[^?#/])$/.exec(text) ?? [];
  if (path !== undefined) {
    return Buffer.byteLength(path) > LONGEST_SOCKET_PATH ? null : { kind: 'socket', source: text, path };
  }
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const { protocol, pathname, hostname, searchParams } = url;
  const isUnix = protocol === 'unix:' && hostname === '' && /^\/[^%]*[^%/]$/.test(pathname);
  const isNetwork = /^rediss?:$/.test(protocol) && hostname !== '' && /^(\/\d{0,5})?$/.test(pathname);
  if (!isUnix && !isNetwork) return null;
  const names = [...searchParams.keys()];
  const kinds = names.filter((name) => name === 'list' || name === 'stream');
  const kind = kinds[0] as 'list' | 'stream' | undefined;
  if (kind === undefined || kinds.length > 1) return null;
  if (names.some((name) => name !== kind && !OTHERS.includes(name))) return null;
  const key = searchParams.get(kind) as string;
  if (key === '') return null;
  url.username = '';
  url.password = '';
  return { kind, source: String(url), url: text, key };
}
