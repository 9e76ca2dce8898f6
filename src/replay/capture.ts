import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Prefix } from '../net/prefix.js';
import { ReplayError } from './errors.js';

export interface CaptureOptions {
  /** A private directory; Suricata writes there and nowhere else. */
  readonly scratch: string;
  readonly rules: readonly string[];
  readonly home: readonly Prefix[];
  readonly index: number;
}

/**
 * Runs the installed Suricata on a capture, in one thread, so that the order of
 * its records is the same each time. Its configuration is written here: the
 * machine's own could send the alerts of an old capture to the live eve.json,
 * where they would be acted on. Checksums are not checked, since captures of a
 * sending host hold unfinished ones.
 *
 * @returns the path of eve.json
 * @throws ReplayError
 */
export async function eveOfCapture(capture: string, options: CaptureOptions): Promise<string> {
  const { scratch, rules, home, index } = options;
  if (rules.length === 0) {
    throw new ReplayError('read a capture', 'suricata_failed', `${capture} is a capture: name rules with --rules FILE`);
  }
  const folder = join(scratch, `capture-${index}`);
  await mkdir(folder, { mode: 0o700 });
  const yaml = join(folder, 'suricata.yaml');
  const signatures = join(folder, 'replay.rules');
  await writeFile(yaml, configuration(home));
  await writeFile(signatures, (await Promise.all(rules.map((file) => readFile(file, 'latin1')))).join('\n'), 'latin1');
  const args = [
    '-c',
    yaml,
    '-S',
    signatures,
    '-r',
    resolve(capture),
    '-l',
    folder,
    '-k',
    'none',
    '--runmode',
    'single',
  ];
  await runSuricata(capture, args);
  const eve = join(folder, 'eve.json');
  if (existsSync(eve)) return eve;
  throw new ReplayError('read a capture', 'suricata_failed', `Suricata wrote no eve.json for ${capture}`);
}

function runSuricata(capture: string, args: readonly string[]): Promise<void> {
  return new Promise((done, fail) => {
    const child = execFile('suricata', [...args], { maxBuffer: 64 * 2 ** 20 }, (error, _out, err) => {
      if (error === null) done();
      else if (error.code === 'ENOENT') {
        const message = `${capture} is a capture, and Suricata is not installed: apt install suricata`;
        fail(new ReplayError('read a capture', 'no_suricata', message));
      } else {
        const said = err.trim().split('\n').slice(-3).join('; ');
        fail(new ReplayError('read a capture', 'suricata_failed', `Suricata could not read ${capture}: ${said}`));
      }
    });
    // Suricata 7 waits for a minute after it could not open the file.
    child.stderr?.on('data', (text: string) => {
      if (text.includes('reader thread failed to initialize')) child.kill('SIGKILL');
    });
  });
}

/** Variables that published rule sets use, with the values of Suricata's own default file. */
const ADDRESS_GROUPS = {
  EXTERNAL_NET: '!$HOME_NET',
  HTTP_SERVERS: '$HOME_NET',
  SMTP_SERVERS: '$HOME_NET',
  SQL_SERVERS: '$HOME_NET',
  DNS_SERVERS: '$HOME_NET',
  TELNET_SERVERS: '$HOME_NET',
  AIM_SERVERS: '$EXTERNAL_NET',
  DC_SERVERS: '$HOME_NET',
  DNP3_SERVER: '$HOME_NET',
  DNP3_CLIENT: '$HOME_NET',
  MODBUS_CLIENT: '$HOME_NET',
  MODBUS_SERVER: '$HOME_NET',
  ENIP_CLIENT: '$HOME_NET',
  ENIP_SERVER: '$HOME_NET',
};
const PORT_GROUPS = {
  HTTP_PORTS: '80',
  SHELLCODE_PORTS: '!80',
  ORACLE_PORTS: '1521',
  SSH_PORTS: '22',
  DNP3_PORTS: '20000',
  MODBUS_PORTS: '502',
  FILE_DATA_PORTS: '[$HTTP_PORTS,110,143]',
  FTP_PORTS: '21',
  GENEVE_PORTS: '6081',
  VXLAN_PORTS: '4789',
  TEREDO_PORTS: '3544',
};

/** JSON is YAML; Suricata wants the YAML version before it. */
function configuration(home: readonly Prefix[]): string {
  const settings = {
    vars: {
      'address-groups': { HOME_NET: `[${home.map(({ text }) => text).join(',')}]`, ...ADDRESS_GROUPS },
      'port-groups': PORT_GROUPS,
    },
    stats: { enabled: 'no' },
    outputs: [
      {
        'eve-log': {
          enabled: 'yes',
          filetype: 'regular',
          filename: 'eve.json',
          xff: { enabled: 'yes', mode: 'extra-data', deployment: 'reverse', header: 'X-Forwarded-For' },
          types: [
            { alert: { metadata: 'yes', verdict: 'yes' } },
            { http: { extended: 'yes' } },
            { tls: { extended: 'yes' } },
            'flow',
          ],
        },
      },
    ],
    logging: { 'default-log-level': 'error', outputs: [{ console: { enabled: 'yes' } }] },
    'unix-command': { enabled: 'no' },
    stream: { 'checksum-validation': 'no' },
  };
  return `%YAML 1.1\n---\n${JSON.stringify(settings, null, 2)}\n`;
}
