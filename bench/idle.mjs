// What does Barricata cost when nothing happens, with 100,000 bans? CPU of the
// daemon and its children (the embedded Redis included) over two minutes, and
// the daemon's resident memory a minute after the list is complete.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fill } from './support/fill.mjs';
import { cpuSeconds, Lab, rssMegabytes, until } from './support/lab.mjs';

const ENTRIES = Number(process.env.ENTRIES ?? 100_000);
const SECONDS = Number(process.env.SECONDS ?? 120);
const lab = new Lab('idle');
try {
  writeFileSync(`${lab.folder}/eve.json`, '');
  const config = lab.config();
  const { child } = await lab.daemon(config);
  await fill(`${lab.folder}/run/redis.sock`, ENTRIES);
  const status = () =>
    JSON.parse(lab.run(lab.server, process.execPath, lab.program, 'status', '-o', 'json', '--config', config));
  await until(
    'all are in the kernel',
    () => {
      const s = status();
      return s.kernel.entries === ENTRIES && s.kernel.drift === 0;
    },
    60_000,
    500,
  );
  // `ip netns exec` replaces itself by the program, so the child is the daemon.
  const daemon = child.pid;
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  const rss = rssMegabytes(daemon);
  const before = cpuSeconds(daemon);
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const cpu = ((cpuSeconds(daemon) - before) / SECONDS) * 100;
  const node = Number(
    execFileSync(process.execPath, ['-e', 'console.log(process.memoryUsage.rss()/1048576)'], { encoding: 'utf8' }),
  );
  console.log(`${ENTRIES} bans, idle ${SECONDS} s: CPU ${cpu.toFixed(2)} % of a core with children (reach: under 1 %)`);
  console.log(
    `VmRSS of the daemon after a minute: ${rss.toFixed(0)} MB (reach: under 160 MB); an empty Node: ${node.toFixed(0)} MB, ratio ${(rss / node).toFixed(1)}`,
  );
} finally {
  await lab.clear();
}
