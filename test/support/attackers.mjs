/**
 * A sensor that writes one alert for each of many attackers, among alerts about
 * protected addresses, and rotates the file by turns in the two ways in use:
 * rename and create (going on in the old file for a moment, as Suricata does),
 * and copy and truncate.
 *
 *   node attackers.mjs FILE ALERTS SEED PROTECTED...
 *
 * Standard input has the alert of 0.0.0.0 as JSON, the pattern of all others.
 * Prints the number of rotations at the end.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const [, , file = '', alerts = '0', seed = '1', ...protectedOnes] = process.argv;
const template = readFileSync(0, 'utf8').trim();
const total = Number(alerts);
let state = Number(seed) >>> 0;
/** Mulberry32: the same numbers for the same seed. */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

let flow = 0;
function line(address) {
  const now = new Date().toISOString().replace('Z', '000+0000');
  const record = JSON.parse(template.replaceAll('0.0.0.0', address));
  flow += 1;
  return `${JSON.stringify({ ...record, timestamp: now, flow_id: flow, flow: { ...record.flow, start: now } })}\n`;
}

let next = 0;
function some(count) {
  let text = '';
  for (const end = Math.min(total, next + count); next < end; next++) {
    text += line(`198.18.${next >> 8}.${next & 255}`);
    if (random() < 0.2) text += line(protectedOnes[Math.floor(random() * protectedOnes.length)]);
    if (random() < 0.3) text += `{"timestamp":"x","event_type":"flow","flow_id":${next}}\n`;
  }
  return Buffer.from(text);
}

let fd = openSync(file, 'a');
let rotations = 0;
let rotateAt = performance.now() + 300;
while (next < total) {
  const bytes = some(1 + Math.floor(random() * 4));
  const cut = Math.floor(bytes.length * random());
  writeSync(fd, bytes.subarray(0, cut));
  await pause(1);
  writeSync(fd, bytes.subarray(cut));
  if (performance.now() > rotateAt) {
    for (let k = rotations; k >= 1; k--) if (existsSync(`${file}.${k}`)) renameSync(`${file}.${k}`, `${file}.${k + 1}`);
    rotations += 1;
    if (rotations % 2 === 0) {
      copyFileSync(file, `${file}.1`);
      truncateSync(file, 0);
    } else {
      renameSync(file, `${file}.1`);
      const fresh = openSync(file, 'a');
      writeSync(fd, some(5));
      await pause(20);
      writeSync(fd, some(5));
      closeSync(fd);
      fd = fresh;
    }
    rotateAt = performance.now() + 200 + random() * 600;
  }
  await pause(20);
}
closeSync(fd);
process.stdout.write(`${rotations}\n`);
