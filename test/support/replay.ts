/** Records of a sensor for replays, and the compiled command that replays them. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { openInput } from '../../src/replay/input.js';
import { type ReplayOptions, replay } from '../../src/replay/replay.js';
import { type ReplayReport, reportOf } from '../../src/replay/report.js';
import { temporaryDirectory } from './eve.js';

export const shipped: Config = loadConfig(fileURLToPath(new URL('../../config/barricata.yaml', import.meta.url)));

/** Times in tests are minutes after this. */
export const START = Date.UTC(2024, 1, 29, 23, 30);

export function stamp(minute: number): string {
  return new Date(START + minute * 60_000).toISOString().replace('Z', '000+0000');
}

interface Flow {
  readonly id?: number;
  readonly from?: string;
  readonly to?: string;
  readonly port?: number;
}

function ends({ id = 1, from = '203.0.113.66', to = '192.168.50.10', port = 80 }: Flow) {
  return { flow_id: id, src_ip: from, src_port: 40_000 + (id % 1000), dest_ip: to, dest_port: port, proto: 'TCP' };
}

/** An attack that the shipped policy bans for an hour: proven, of a bad category. */
export function attack(minute: number, flow: Flow = {}, alert: Record<string, unknown> = {}) {
  return {
    timestamp: stamp(minute),
    event_type: 'alert',
    ...ends(flow),
    app_proto: 'http',
    direction: 'to_server',
    alert: {
      action: 'allowed',
      gid: 1,
      signature_id: 2019232,
      rev: 2,
      signature: 'ET WEB_SERVER Possible CVE-2014-6271 Attempt',
      category: 'Attempted Administrator Privilege Gain',
      severity: 1,
      ...alert,
    },
    flow: { pkts_toserver: 5, pkts_toclient: 4, bytes_toserver: 700, bytes_toclient: 900, start: stamp(minute) },
  };
}

/** An alert that nothing comes of. */
export function harmless(minute: number, flow: Flow = {}) {
  return attack(minute, flow, {
    signature_id: 2002825,
    signature: 'ET POLICY curl',
    category: 'Misc activity',
    severity: 3,
  });
}

export function http(minute: number, flow: Flow = {}, status = 200) {
  const request = { hostname: 'www.example.org', url: '/', http_method: 'GET', status, length: 9 };
  return { timestamp: stamp(minute), event_type: 'http', ...ends(flow), http: request };
}

export function tls(minute: number, flow: Flow = {}) {
  return {
    timestamp: stamp(minute),
    event_type: 'tls',
    ...ends({ port: 443, ...flow }),
    tls: { version: 'TLS 1.3', sni: 'a.example' },
  };
}

/** A connection that is logged when it has ended. */
export function connection(from: number, until: number, flow: Flow = {}, more: Record<string, unknown> = {}) {
  const counts = { pkts_toserver: 10, pkts_toclient: 12, bytes_toserver: 900, bytes_toclient: 9000 };
  const times = { start: stamp(from), end: stamp(until), state: 'closed', alerted: false };
  return { timestamp: stamp(until + 1), event_type: 'flow', ...ends(flow), flow: { ...counts, ...times, ...more } };
}

export function linesOf(records: readonly unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

/** Replays files that are there. */
export async function replayFiles(
  files: readonly string[],
  options: Partial<Omit<ReplayOptions, 'inputs'>> = {},
): Promise<ReplayReport> {
  const scratch = temporaryDirectory();
  const ofCapture = async (path: string) => join(path, 'no captures here');
  const inputs = await Promise.all(files.map((file, index) => openInput(file, { scratch, index, ofCapture })));
  try {
    const result = await replay({
      inputs,
      config: shipped,
      against: null,
      ruleFacts: () => null,
      since: null,
      quarantine: false,
      compareNaive: false,
      onProgress: () => undefined,
      ...options,
    });
    return reportOf(result);
  } finally {
    for (const input of inputs) await input.close();
  }
}
