/** `npm run demo` plays to its end and leaves nothing behind. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { command } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';

const demo = fileURLToPath(new URL('../../deploy/demo/demo.mjs', import.meta.url));

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue', 'suricata'))('the demonstration', () => {
  it('shows the main job within two minutes and removes everything', () => {
    const began = performance.now();
    const { code, out } = command(process.execPath, [demo, '--no-pause']);
    expect({ code, end: out.slice(-400) }).toEqual({
      code: 0,
      end: expect.stringContaining('nothing is left on this machine'),
    });
    expect(performance.now() - began).toBeLessThan(120_000);
    for (const step of ['in the kernel set', 'HTTP 200', 'BANNED until', 'more packets were dropped', 'own address']) {
      expect(out).toContain(step);
    }
    expect(command('ip', ['netns', 'list']).out).not.toContain('bqdemo');
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('barricata-demo-'))).toEqual([]);
  });
});
