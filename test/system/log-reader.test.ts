/** Whoever reads the log may stand still; the daemon may not. */
import { spawn } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { alertLine, Barricata, program } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';

it.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))(
  'goes on banning while nobody reads its log',
  async () => {
    enterPrivateNetns();
    const b = new Barricata({ limits: { new_bans_per_minute: 100_000 } });
    writeFileSync(b.eve, '');
    // A pipe that nobody empties holds 64 KiB; 1,500 bans log about 400 KB.
    const child = spawn(process.execPath, [program, 'run', '--config', b.config, '--on-stop', 'remove'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await waitFor('Barricata is ready', () => b.cli('status', '-q').code === 0, 20_000, 200);
      const lines = Array.from({ length: 1500 }, (_, i) => alertLine(`203.0.${112 + (i >> 8)}.${i & 255}`));
      appendFileSync(b.eve, lines.join(''));
      await waitFor('all are in the kernel', () => b.elements().size === 1500, 20_000, 200);
      expect(b.cli('status', '-q').code).toBe(0);
    } finally {
      child.stdout?.resume();
      child.kill('SIGTERM');
      await waitFor('it ends', () => child.exitCode !== null, 15_000, 50);
      await b.remove();
    }
  },
);
