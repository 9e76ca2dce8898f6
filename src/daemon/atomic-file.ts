import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface FileAttributes {
  /** Permission bits. */
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Puts a file in place whole: whoever reads the path finds the old content or the
 * new one, also after a power cut, and never a part.
 * @param path not a symbolic link, which would be replaced
 */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  attributes: FileAttributes,
): Promise<void> {
  const made = `${path}.new`;
  const file = await open(made, 'w', 0o600);
  try {
    await fill(file, content, attributes);
    await rename(made, path);
  } catch (error) {
    await unlink(made).catch(() => undefined);
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function fill(file: FileHandle, content: string | Uint8Array, { mode, uid, gid }: FileAttributes): Promise<void> {
  try {
    await file.writeFile(content);
    if (uid !== undefined && gid !== undefined) await file.chown(uid, gid);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}
