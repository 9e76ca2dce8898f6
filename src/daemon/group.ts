import { readFile } from 'node:fs/promises';

/** The id of a group by its name, from /etc/group; `null` where it does not exist. */
export async function groupId(name: string): Promise<number | null> {
  const text = await readFile('/etc/group', 'utf8').catch(() => '');
  const line = text.split('\n').find((entry) => entry.startsWith(`${name}:`));
  const id = Number(line?.split(':')[2]);
  return Number.isInteger(id) ? id : null;
}
