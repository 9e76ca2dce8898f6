import { readFile } from 'node:fs/promises';

/** Where Suricata's packages put it. */
export const CLASSIFICATION_FILE = '/etc/suricata/classification.config';

/**
 * The categories of alerts by the classtypes of rules, from lines such as
 * `config classification: trojan-activity,A Network Trojan was detected,1`
 * (Suricata user guide, "classification.config").
 * @returns `null` when the file cannot be read
 */
export async function readCategories(path = CLASSIFICATION_FILE): Promise<Map<string, string> | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  const categories = new Map<string, string>();
  for (const [, name, description] of text.matchAll(
    /^\s*config\s+classification:\s*([^,\s]+)\s*,([^\n]*),[^,\n]*$/gm,
  )) {
    categories.set(name as string, (description as string).trim());
  }
  return categories;
}
