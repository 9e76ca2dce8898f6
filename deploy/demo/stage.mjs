// The stage of the demonstration: three hosts in network namespaces of their
// own, a web server and a real Suricata. Everything made here is removed by
// `clear`, also after Ctrl-C or a failure.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ATTACKER = '203.0.113.66';
export const SCANNER = '203.0.113.99';
export const CLIENT = '198.51.100.7';
export const SERVER = '192.168.50.10';

const here = fileURLToPath(new URL('.', import.meta.url));
export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const label = `bqdemo${process.pid}`;
export const hosts = { server: `${label}-server`, attacker: `${label}-attacker`, client: `${label}-client` };
export const folder = mkdtempSync(join(tmpdir(), 'barricata-demo-'));
const children = [];
const made = [];

const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

/** Runs a command on one of the hosts to its end; gives { status, out }. Never throws. */
export function on(host, command, ...args) {
  try {
    const out = execFileSync('ip', ['netns', 'exec', hosts[host], command, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return { status: 0, out: out.trim() };
  } catch (error) {
    return { status: error.status ?? 1, out: `${error.stdout ?? ''}${error.stderr ?? ''}`.trim() };
  }
}

/** Starts a command on a host; it is killed when the stage is cleared. */
export function begin(host, command, ...args) {
  const log = join(folder, `${command.split('/').pop()}-${children.length}.log`);
  const child = spawn('ip', ['netns', 'exec', hosts[host], command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk;
      writeFileSync(log, text);
    });
  }
  children.push(child);
  return { child, log: () => text };
}

export async function until(what, condition, deadlineMs = 15_000) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${deadlineMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Namespaces, cables, addresses. */
export function build() {
  for (const name of Object.values(hosts)) {
    ip('netns', 'add', name);
    made.push(name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  ip('-n', hosts.server, 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
  const cables = [
    ['attacker', '203.0.113', [ATTACKER, SCANNER]],
    ['client', '198.51.100', [CLIENT]],
  ];
  for (const [host, network, addresses] of cables) {
    ip('-n', hosts.server, 'link', 'add', host, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', hosts[host]);
    ip('-n', hosts.server, 'address', 'add', `${network}.254/24`, 'dev', host);
    ip('-n', hosts.server, 'link', 'set', host, 'up');
    for (const address of addresses) ip('-n', hosts[host], 'address', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', hosts[host], 'link', 'set', 'eth0', 'up');
    ip('-n', hosts[host], 'route', 'add', 'default', 'via', `${network}.254`);
  }
}

/** A web server that answers everything with one line. */
export async function startWeb() {
  begin('server', process.execPath, '-e', 'require("http").createServer((q, r) => r.end("welcome\\n")).listen(80)');
  await until('the web server listens', () => fetchFrom('client') === 200);
}

/** A real Suricata on both cables. */
export async function startSuricata() {
  writeFileSync(
    join(folder, 'demo.rules'),
    'alert http any any -> any any (msg:"DEMO WEB_SERVER /etc/passwd in request URI"; flow:established,to_server; http.uri; content:"/etc/passwd"; classtype:web-application-attack; sid:9000001; rev:1; metadata:signature_severity Major;)\n',
  );
  const suricata = begin(
    'server',
    'suricata',
    '-c',
    join(here, 'suricata.yaml'),
    '-S',
    join(folder, 'demo.rules'),
    '-l',
    folder,
    '--af-packet=attacker',
    '--af-packet=client',
    '--pidfile',
    join(folder, 'suricata.pid'),
  );
  await until(
    'Suricata watches',
    () => {
      if (suricata.child.exitCode !== null) throw new Error(`Suricata ended:\n${suricata.log()}`);
      return suricata.log().includes('Engine started');
    },
    60_000,
  );
}

/** HTTP status of a request, or null when nothing came back within a second. */
export function fetchFrom(host, path = '/', source = undefined) {
  const { out } = on(
    host,
    'curl',
    '-s',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    '--max-time',
    '1',
    ...(source ? ['--interface', source] : []),
    `http://${SERVER}${path}`,
  );
  const status = Number(out.slice(-3));
  return status > 0 ? status : null;
}

export function lastAlert() {
  const lines = readFileSync(join(folder, 'eve.json'), 'utf8').split('\n');
  const line = lines.findLast((text) => text.includes('"event_type":"alert"'));
  return line ? JSON.parse(line) : null;
}

/** The configuration of the demonstration: the product's own, with its files in the folder. */
export function writeConfig() {
  const file = join(folder, 'barricata.yaml');
  let text = readFileSync(fileURLToPath(new URL('../../config/barricata.yaml', import.meta.url)), 'utf8');
  const set = (key, value) => {
    const line = new RegExp(`^${key}:.*$`, 'm');
    text = line.test(text) ? text.replace(line, `${key}: ${value}`) : `${text}\n${key}: ${value}\n`;
  };
  set('state', join(folder, 'state'));
  set('run', join(folder, 'run'));
  set('host', 'demo');
  text = text.replace(/^(\s+)eve:.*$/m, `$1eve: [${join(folder, 'eve.json')}]`);
  writeFileSync(file, text);
  return file;
}

export async function clear() {
  for (const child of children) {
    if (child.exitCode !== null) continue;
    child.kill('SIGTERM');
    await Promise.race([
      new Promise((resolve) => child.once('exit', resolve)),
      new Promise((resolve) => setTimeout(resolve, 5000)),
    ]);
    child.kill('SIGKILL');
  }
  for (const name of made) {
    try {
      ip('netns', 'delete', name);
    } catch {}
  }
  rmSync(folder, { recursive: true, force: true });
}
