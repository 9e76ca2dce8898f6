// `sudo npm run demo`: the main job on a screen, in under two minutes, in
// throw-away network namespaces. Every line shown is what a command printed.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as stage from './stage.mjs';

const { ATTACKER, CLIENT, SCANNER, SERVER } = stage;
const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
const pause = process.argv.includes('--no-pause') || !process.stdout.isTTY ? 0 : 1500;
let steps = 0;

const say = (text = '') => process.stdout.write(`${text}\n`);
const step = async (title) => {
  if (steps > 0) await sleep(pause);
  steps += 1;
  say(`\n${paint('1', `${steps}. ${title}`)}`);
};
const shown = (command) => say(paint('2', `   $ ${command}`));
const lines = (text) => {
  const width = Math.max(40, (process.stdout.columns ?? 120) - 4);
  for (const line of text.split('\n')) {
    for (let at = 0; at === 0 || at < line.length; at += width) say(`   ${line.slice(at, at + width)}`);
  }
};
const good = (text) => say(`   ${paint('32', 'ok')}  ${text}`);

const quoted = (word) => (/[\s"]/.test(word) ? `"${word}"` : word);

let config = '';
const barricata = (...args) => {
  shown(`barricata ${args.map(quoted).join(' ')}`);
  return stage.on('server', process.execPath, stage.program, ...args, '--config', config);
};
const redis = (...args) => {
  shown(`redis-cli ${args.map(quoted).join(' ')}`);
  return stage.on('server', 'redis-cli', '-s', join(stage.folder, 'run/redis.sock'), ...args).out;
};
const element = (address) =>
  stage
    .on('server', 'ipset', 'list', 'barricata4')
    .out.split('\n')
    .find((line) => line.startsWith(`${address} `));
const packets = (address) => Number(/packets (\d+)/.exec(element(address) ?? '')?.[1] ?? 0);

function expect(condition, what) {
  if (!condition) throw new Error(`the demonstration did not go as it should: ${what}`);
}

async function play() {
  say(paint('1', 'Barricata, the main job. Everything happens in throw-away network namespaces.'));
  say(`
   attacker ${ATTACKER} ──┐
                           ├── server ${SERVER}: web server, Suricata, Barricata
   client   ${CLIENT} ──┘`);

  await step('A web server, a real Suricata and Barricata start');
  stage.build();
  await stage.startWeb();
  await stage.startSuricata();
  good(`${stage.on('server', 'suricata', '-V').out.replace('This is ', '')} watches both cables`);
  config = stage.writeConfig();
  const daemon = stage.begin(
    'server',
    process.execPath,
    stage.program,
    'run',
    '--config',
    config,
    '--on-stop',
    'remove',
  );
  await stage.until(
    'Barricata is ready',
    () => {
      if (daemon.child.exitCode !== null) throw new Error(`Barricata ended:\n${daemon.log()}`);
      return stage.on('server', process.execPath, stage.program, 'status', '--config', config).status === 0;
    },
    20_000,
  );
  good('Barricata runs: mode enforce, its own Redis, the kernel sets and the queue are in place');
  expect(stage.fetchFrom('attacker') === 200 && stage.fetchFrom('client') === 200, 'both hosts are served at first');
  good('attacker and client are both served: HTTP 200');

  await step('The attacker tries to read /etc/passwd');
  shown(`curl http://${SERVER}/cgi?f=/etc/passwd`);
  const asked = Date.now();
  stage.fetchFrom('attacker', '/cgi?f=/etc/passwd');
  await stage.until('the element is in the kernel', () => element(ATTACKER));
  good(`in the kernel set ${Date.now() - asked} ms after the request was sent, curl and this script included`);

  await step('What Suricata wrote');
  const alert = stage.lastAlert();
  lines(
    `sid ${alert.alert.signature_id}  ${alert.alert.signature}\n${alert.alert.category}, severity ${alert.alert.severity}\n${alert.src_ip}:${alert.src_port} -> ${alert.dest_ip}:${alert.dest_port}  ${alert.http.http_method} ${alert.http.url}`,
  );

  await step('Who attacked, and why that is a ban');
  lines(barricata('why', ATTACKER).out);

  await step('The ban in Redis');
  lines(redis('GET', `barricata:ban:${ATTACKER}`));
  lines(redis('TTL', `barricata:ban:${ATTACKER}`));

  await step('The element in the kernel, and its counter while the attacker goes on');
  shown('ipset list barricata4');
  const before = packets(ATTACKER);
  lines(element(ATTACKER));
  expect(stage.fetchFrom('attacker') === null, 'the attacker gets no answer');
  await stage.until('the counter rises', () => packets(ATTACKER) > before);
  lines(element(ATTACKER));
  good(`the attacker gets no answer; ${packets(ATTACKER) - before} more packets were dropped`);
  expect(stage.fetchFrom('client') === 200, 'the client is served');
  good('the client is still served: HTTP 200');

  await step('A port scan, which Suricata raises no alert for: the packet filter sees it');
  shown(`(${SCANNER} connects to 60 ports)`);
  stage.on(
    'attacker',
    'python3',
    '-c',
    `
import socket
for port in range(2000, 2060):
    s = socket.socket(); s.settimeout(0.01); s.bind(("${SCANNER}", 0))
    try: s.connect(("${SERVER}", port))
    except OSError: pass
    s.close()`,
  );
  await stage.until('the scanner is in the kernel set', () => element(SCANNER));
  lines(redis('GET', `barricata:local:demo:${SCANNER}`));
  good('a source of first packets can be forged, so this ban holds on this host only, for 10 minutes at most');

  await step('An analyst bans by hand, with redis-cli');
  lines(redis('SET', 'barricata:ban:198.51.100.0/25', 'INC-4521 scanning', 'EX', '3600'));
  const typed = Date.now();
  await stage.until('the network is in the kernel', () => element('198.51.100.0/25'));
  good(`in the kernel ${Date.now() - typed} ms later`);
  expect(stage.fetchFrom('client') === null, 'the whole network is blocked');
  good('the client, inside that network, is blocked: that was a mistake');

  await step('So it is undone');
  lines(barricata('unban', '198.51.100.0/25', '--reason', 'our customer').out);
  expect(stage.fetchFrom('client') === 200, 'the client is served again');
  good('the client is served again: HTTP 200');

  await step('Nobody can ban the server itself, not even with redis-cli');
  lines(redis('SET', `barricata:ban:${SERVER}`, 'oops', 'EX', '600'));
  const refused = await stage.until('the refusal is written', () => {
    const { out } = stage.on(
      'server',
      'redis-cli',
      '-s',
      join(stage.folder, 'run/redis.sock'),
      'GET',
      `barricata:refused:${SERVER}`,
    );
    return out || null;
  });
  shown(`redis-cli GET barricata:refused:${SERVER}`);
  lines(refused);
  expect(element(SERVER) === undefined, 'the own address is not in the kernel');

  await step('And the list as it stands');
  lines(barricata('list', '-o', 'table').out);

  daemon.child.kill('SIGTERM');
  await stage.until('Barricata stops', () => daemon.child.exitCode !== null);
  const left = stage.on('server', 'ipset', 'list', '-n').out;
  expect(left === '', `all sets are gone (left: ${left})`);
  say(`\n${paint('1', 'Done.')} Barricata removed its rules and sets; now the namespaces go.`);
}

const started = Date.now();
let status = 0;
const leave = async () => {
  await stage.clear();
  say(paint('2', `${((Date.now() - started) / 1000).toFixed(0)} s; nothing is left on this machine.`));
};
process.once('SIGINT', () => void leave().then(() => process.exit(130)));
try {
  await play();
} catch (error) {
  say(`\n${paint('31', 'failed')}: ${error.message}`);
  status = 1;
}
await leave();
process.exit(status);
