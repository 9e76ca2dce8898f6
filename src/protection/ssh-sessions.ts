/**
 * Who is logged in from where. A peer counts only when its session is
 * authenticated: the programs that write these sources do so after the login.
 * A mere TCP connection to port 22 never counts, or every brute-forcer would be
 * protected.
 *
 * logind and utmp are written by root, so both are believed and joined. The
 * environment of a process is written by its owner: it is asked only where the
 * other two cannot be read, or name nobody, and then only of root's processes.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { type Address, formatWords, parseAddress, unmapped } from '../net/address.js';
import { sshPeer } from './admits.js';

export interface SshSession {
  readonly peer: Address;
  /** Login name, or '' when the source has none. */
  readonly user: string;
}

/** One file of /run/systemd/sessions: `KEY=VALUE` lines (systemd, logind-session.c). `null` = not a live remote session. */
export function logindSession(text: string): SshSession | null {
  const fields = new Map(
    text.split('\n').map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1).replace(/^"(.*)"$/, '$1')] as const;
    }),
  );
  if (fields.get('REMOTE') !== '1' || fields.get('STATE') === 'closing') return null;
  const peer = parseAddress(fields.get('REMOTE_HOST')?.replace(/%.*$/, ''));
  return peer === null ? null : { peer, user: fields.get('USER') ?? '' };
}

/** Live sessions of logind; `null` when logind is not there or cannot be read. */
export function logindSessions(folder: string): SshSession[] | null {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return null;
  }
  return names.flatMap((name) => {
    // Beside each session lies a FIFO, `NAME.ref`, that a read would wait on.
    if (!/^[A-Za-z0-9]+$/.test(name)) return [];
    try {
      const session = logindSession(readFileSync(`${folder}/${name}`, 'latin1'));
      return session === null ? [] : [session];
    } catch {
      return [];
    }
  });
}

const USER_PROCESS = 7;

/**
 * Remote logins in the bytes of utmp (glibc bits/utmp.h: records of 384 bytes,
 * of 400 on arm64, where the session number and the time are 64 bits wide).
 * @param isAlive a record whose process is gone is a login that crashed
 */
export function utmpSessions(
  bytes: Buffer,
  isAlive: (pid: number) => boolean,
  arch: string = process.arch,
): SshSession[] {
  const [size, addressAt] = arch === 'arm64' ? [400, 360] : [384, 348];
  const found: SshSession[] = [];
  for (let at = 0; at + size <= bytes.length; at += size) {
    if (bytes.readInt16LE(at) !== USER_PROCESS || !isAlive(bytes.readInt32LE(at + 4))) continue;
    const word = (index: number) => bytes.readInt32BE(at + addressAt + 4 * index);
    const [w0, w1, w2, w3] = [word(0), word(1), word(2), word(3)];
    if (w0 === 0 && w1 === 0 && w2 === 0 && w3 === 0) continue;
    const family = w1 === 0 && w2 === 0 && w3 === 0 ? 4 : 6;
    const user = bytes.toString('latin1', at + 44, at + 76).replace(/\0.*$/s, '');
    found.push({ peer: formatWords(unmapped({ family, w0, w1, w2, w3 })) as Address, user });
  }
  return found;
}

/** Remote logins of utmp; `null` when there is no utmp (Debian 13) or it cannot be read. */
export function utmpFileSessions(file: string, proc: string): SshSession[] | null {
  try {
    return utmpSessions(readFileSync(file), (pid) => existsSync(`${proc}/${pid}`));
  } catch {
    return null;
  }
}

const MOST_ENVIRONMENT = 64 * 1024;
/** Bounds one scan to about 20 ms where a machine has many processes; the rest is seen by the next scans. */
const MOST_LOOKS = 1000;
/** A process is looked at again, because a login's environment comes with its exec, after its fork. */
const LOOKS = 2;

interface Seen {
  looks: number;
  session: (SshSession & { readonly root: boolean }) | null;
}

/** `$SSH_CONNECTION` of running processes; each process is read twice in its life, not at each scan. */
export class EnvironmentSessions {
  readonly #proc: string;
  readonly #buffer = Buffer.allocUnsafe(MOST_ENVIRONMENT);
  #seen = new Map<string, Seen>();
  #readable = false;

  constructor(proc: string) {
    this.#proc = proc;
  }

  /**
   * @param rootOnly leave out processes of other users
   * @returns `null` when no environment at all can be read
   */
  read(rootOnly: boolean): SshSession[] | null {
    let names: string[];
    try {
      names = readdirSync(this.#proc).filter((name) => /^\d+$/.test(name));
    } catch {
      return null;
    }
    const seen = new Map<string, Seen>();
    let looks = 0;
    for (const pid of names) {
      const known = this.#seen.get(pid) ?? { looks: 0, session: null };
      if (known.looks < LOOKS && known.session === null && looks < MOST_LOOKS) {
        looks += 1;
        known.looks += 1;
        known.session = this.#look(pid);
      }
      seen.set(pid, known);
    }
    this.#seen = seen;
    if (!this.#readable) return null;
    const sessions = [...seen.values()].flatMap(({ session }) => (session === null ? [] : [session]));
    return sessions.filter(({ root }) => root || !rootOnly);
  }

  #look(pid: string): Seen['session'] {
    let fd = -1;
    try {
      fd = openSync(`${this.#proc}/${pid}/environ`, 'r');
      const length = readSync(fd, this.#buffer, 0, MOST_ENVIRONMENT, 0);
      this.#readable = true;
      const environment = this.#buffer.toString('latin1', 0, length);
      const value = /(?:^|\0)SSH_(?:CONNECTION|CLIENT)=([^\0]*)/.exec(environment)?.[1];
      const peer = sshPeer(value ?? '');
      if (peer === null) return null;
      const user = /(?:^|\0)(?:USER|LOGNAME)=([^\0]{1,32})/.exec(environment)?.[1] ?? '';
      return { peer, user, root: statSync(`${this.#proc}/${pid}`).uid === 0 };
    } catch {
      return null;
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }
}
