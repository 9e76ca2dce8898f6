// How long from a SET in Redis until the element is in the kernel? Both are asked
// from here, with the same clock: the SET is sent, then the kernel is asked by
// netlink until it has the element. The floor is the same asking after an add by
// netlink from this process.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Lab } from './support/lab.mjs';

const SAMPLES = Number(process.env.SAMPLES ?? 1000);
const lab = new Lab('set');
try {
  writeFileSync(`${lab.folder}/eve.json`, '');
  await lab.daemon(lab.config());
  const code = await new Promise((resolve) => {
    const child = spawn(
      'ip',
      [
        'netns',
        'exec',
        lab.server,
        process.execPath,
        fileURLToPath(new URL('support/set-probe.mjs', import.meta.url)),
        `${lab.folder}/run/redis.sock`,
        String(SAMPLES),
      ],
      { stdio: 'inherit' },
    );
    child.on('exit', resolve);
  });
  process.exitCode = code ?? 1;
} finally {
  await lab.clear();
}
