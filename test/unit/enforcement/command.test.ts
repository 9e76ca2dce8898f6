import { describe, expect, it } from 'vitest';
import { Commands } from '../../../src/enforcement/command.js';

const node = process.execPath;

describe('commands', () => {
  it('give status, output and errors, in the C locale', async () => {
    const script = 'process.stdin.pipe(process.stdout); console.error(process.env.LC_ALL); process.exitCode = 3';
    expect(await new Commands().run(node, ['-e', script], 'in\nput')).toEqual({
      code: 3,
      stdout: 'in\nput',
      stderr: 'C\n',
    });
  });

  it('take arguments as they are', async () => {
    const result = await new Commands().run(node, ['-p', 'process.argv[1]', '1.2.3.4; rm -rf $HOME']);
    expect(result.stdout).toBe('1.2.3.4; rm -rf $HOME\n');
  });

  it('name the package of a program that is missing', async () => {
    const path = process.env['PATH'];
    await expect(new Commands().run('ip6tables-nosuch-restore', [])).rejects.toMatchObject({
      kind: 'tool_missing',
      message: expect.stringContaining('apt-get install iptables'),
    });
    expect(process.env['PATH']).toBe(path);
  });

  it('are killed when they take too long', async () => {
    const commands = new Commands({ timeoutMs: 200 });
    await expect(commands.run(node, ['-e', 'setInterval(() => {}, 1000)'])).rejects.toMatchObject({ kind: 'timeout' });
  });

  it('run one at a time, in order', async () => {
    const commands = new Commands();
    const script = 'const b = Date.now(); setTimeout(() => console.log(b, Date.now()), 50)';
    const results = await Promise.all([1, 2, 3].map(() => commands.run(node, ['-e', script])));
    const spans = results.map(({ stdout }) => stdout.trim().split(' ').map(Number) as [number, number]);
    expect(spans[1]?.[0]).toBeGreaterThanOrEqual(spans[0]?.[1] ?? Number.NaN);
    expect(spans[2]?.[0]).toBeGreaterThanOrEqual(spans[1]?.[1] ?? Number.NaN);
  });

  it('survive a program that does not read its input', async () => {
    const result = await new Commands().run(node, ['-e', 'process.exit(4)'], 'x'.repeat(1 << 20));
    expect(result.code).toBe(4);
  });
});
