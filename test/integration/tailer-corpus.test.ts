/** Records that real sensors of several versions wrote, where the collection is at hand: read through the whole source. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { parseAlert } from '../../src/suricata/eve-alert.js';
import { Reading, removeTemporaryDirectories } from '../support/eve.js';
import { waitFor } from '../support/netns.js';

const corpus = fileURLToPath(new URL('../../../shared/corpus', import.meta.url));

function eveFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return eveFiles(path);
    return /\.json(\.gz)?$|eve.*\.log$/.test(entry.name) ? [path] : [];
  });
}

/** What parsing each line says: usable alerts, and why the others are not. */
function plainly(text: string) {
  let alerts = 0;
  const unusable: Record<string, number> = {};
  for (const line of text.split('\n')) {
    let record: unknown;
    try {
      record = JSON.parse(line);
    } catch {
      continue;
    }
    if ((record as { event_type?: unknown } | null)?.event_type !== 'alert') continue;
    const alert = parseAlert(record);
    if (typeof alert === 'string') unusable[alert] = (unusable[alert] ?? 0) + 1;
    else alerts += 1;
  }
  return { alerts, unusable };
}

afterEach(removeTemporaryDirectories);

describe.skipIf(!existsSync(corpus))('real eve files', () => {
  it('are read without an exception; what is not usable was looked at by hand', async () => {
    const odd: Record<string, Record<string, number>> = {};
    const spread: string[] = [];
    let files = 0;
    let alerts = 0;
    for (const path of eveFiles(corpus).sort()) {
      const bytes = readFileSync(path);
      const text = path.endsWith('.gz') ? gunzipSync(bytes) : bytes;
      const r = new Reading('eve.json');
      writeFileSync(r.path('eve.json'), text);
      await r.source.start();
      const lines = text.toString('latin1').split('\n').length - 1;
      await waitFor(`all of ${path}`, () => r.source.status().paths[0]?.lines === lines);
      const unusable = r.source.status().paths[0]?.unusable ?? {};
      await r.source.stop();
      const expected = plainly(text.toString('utf8').split('\n').slice(0, -1).join('\n'));
      const got = r.batches.reduce((sum, batch) => sum + batch.alerts.length, 0);
      expect({ path, got }).toEqual({ path, got: expected.alerts });
      expect(unusable).toMatchObject(expected.unusable);
      const name = path.slice(corpus.length + 1);
      if ((unusable['not_json'] ?? 0) > 20) spread.push(name);
      else if (Object.keys(unusable).length > 0) odd[name] = unusable;
      files += 1;
      alerts += got;
    }
    expect(odd).toEqual({
      // One line is cut after the time; one packet was too broken to have addresses.
      'dcso-fever/jsonparse_eve_broken1.json': { truncated: 1 },
      'suricata-verify/eve-alerts/bug-7414-decoder-event-01.json': { no_addresses: 1 },
    });
    // Records and arrays spread over several lines, as `jq` prints them: no line of theirs is an alert.
    expect(spread).toEqual([
      'frankhassanabad-suricata-sample-data/samples/first-org-conf-2015/alerts-only.json',
      'frankhassanabad-suricata-sample-data/samples/wrccdc-2017/alerts-only.json',
      'selks/PSEXEC-RCE-network-monitoring-logs-example.json',
      ...['alert', 'anomaly', 'fileinfo', 'flow', 'http', 'krb5', 'smb', 'tls'].map((name) => `selks/eve-${name}.json`),
    ]);
    expect(files).toBeGreaterThan(100);
    expect(alerts).toBeGreaterThan(1000);
  }, 60_000);
});
