import { readdir, readFile } from 'node:fs/promises';
import { readRuleset } from '../suricata/ruleset.js';

/** What can be seen of a Suricata on this machine. */
export interface SuricataProbe {
  readonly running: boolean;
  /** Interfaces named on its command line; empty when they are in its configuration only. */
  readonly interfaces: readonly string[];
  /** Rules that are switched on in the rules file; `null` when it cannot be read. */
  readonly rules: number | null;
}

/**
 * Looks for a Suricata process (its main thread is named `Suricata-Main`) and
 * counts the rules of the rules file.
 */
export async function probeSuricata(rulesFile: string): Promise<SuricataProbe> {
  const interfaces = new Set<string>();
  let running = false;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (!/^suricata/i.test(name.trim())) continue;
    running = true;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    words.forEach((word, i) => {
      const glued = /^--(?:af-packet|pcap)=(.+)$/.exec(word)?.[1];
      if (glued) interfaces.add(glued);
      if (word === '-i' && words[i + 1]) interfaces.add(words[i + 1] as string);
    });
  }
  const rules = await readRuleset(rulesFile).then(
    ({ size }) => size,
    () => null,
  );
  return { running, interfaces: [...interfaces], rules };
}

/** One line for the start of the log and for `doctor`; with the commands when Suricata does not run. */
export function describeSuricata(probe: SuricataProbe): string {
  if (!probe.running) {
    return 'Suricata does not run here, so no alerts arrive. Install and start it: npm start -- --with-suricata, or: apt-get install suricata && systemctl start suricata';
  }
  const where = probe.interfaces.length > 0 ? ` on ${probe.interfaces.join(', ')}` : '';
  const rules = probe.rules === null ? 'its rules file cannot be read' : `${probe.rules.toLocaleString('en')} rules`;
  return `Suricata runs${where}, ${rules}`;
}
