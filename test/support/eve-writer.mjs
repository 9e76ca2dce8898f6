/**
 * A sensor that rotates: writes numbered alerts among flow records in pieces,
 * and every now and then renames the file (going on in the old one for a
 * while, as Suricata does until SIGHUP) or copies and truncates it.
 *
 *   node eve-writer.mjs FILE ALERTS ROTATE_EVERY_MS
 */
import { closeSync, copyFileSync, existsSync, openSync, renameSync, truncateSync, writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const [, , file = '', alerts = '0', rotateEvery = '500'] = process.argv;
const total = Number(alerts);

function line(n) {
  return `{"timestamp":"2026-11-22T16:25:51.374573+0000","flow_id":${n},"event_type":"alert","src_ip":"203.0.113.66","src_port":4,"dest_ip":"192.168.50.10","dest_port":80,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":2019232,"rev":2,"signature":"ET","category":"x","severity":1}}\n{"timestamp":"2026-11-22T16:25:51.374573+0000","flow_id":${n},"event_type":"flow","src_ip":"203.0.113.66","proto":"TCP"}\n`;
}

let fd = openSync(file, 'a');
let next = 0;
let rotations = 0;
let rotatedAt = performance.now();

function some(count) {
  let text = '';
  for (const end = Math.min(total, next + count); next < end; next++) text += line(next);
  return Buffer.from(text);
}

function shift() {
  for (let k = rotations; k >= 1; k--) if (existsSync(`${file}.${k}`)) renameSync(`${file}.${k}`, `${file}.${k + 1}`);
}

while (next < total) {
  const bytes = some(40);
  const cut = Math.floor(bytes.length * Math.random());
  writeSync(fd, bytes.subarray(0, cut));
  await pause(1);
  writeSync(fd, bytes.subarray(cut));
  if (performance.now() - rotatedAt > Number(rotateEvery)) {
    rotatedAt = performance.now();
    shift();
    rotations += 1;
    if (rotations % 3 === 0) {
      copyFileSync(file, `${file}.1`);
      truncateSync(file, 0);
    } else {
      renameSync(file, `${file}.1`);
      const fresh = openSync(file, 'a');
      writeSync(fresh, some(20));
      writeSync(fd, some(20));
      await pause(30);
      writeSync(fd, some(20));
      closeSync(fd);
      fd = fresh;
    }
  }
  await pause(8);
}
closeSync(fd);
process.stdout.write(`${rotations}\n`);
