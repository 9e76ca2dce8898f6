import { describe, expect, it } from 'vitest';
import { BarricataError, messageOf, unreachable } from '../../../src/base/errors.js';
import { Lifecycle, type Service } from '../../../src/base/lifecycle.js';

function services(log: string[], broken: { start?: string; stop?: string } = {}): Service[] {
  return ['a', 'b', 'c'].map((name) => ({
    name,
    start: async () => {
      if (broken.start === name) throw new Error(`${name} does not start`);
      log.push(`+${name}`);
    },
    stop: async () => {
      log.push(`-${name}`);
      if (broken.stop === name) throw new Error(`${name} does not stop`);
    },
  }));
}

describe('Lifecycle', () => {
  it('starts in order and stops in reverse, once', async () => {
    const log: string[] = [];
    const lifecycle = new Lifecycle(() => {});
    await lifecycle.start(services(log));
    await lifecycle.stop();
    await lifecycle.stop();
    expect(log).toEqual(['+a', '+b', '+c', '-c', '-b', '-a']);
  });

  it('stops what was started when one fails to start, that one included, and throws that failure', async () => {
    const log: string[] = [];
    const lifecycle = new Lifecycle(() => {});
    await expect(lifecycle.start(services(log, { start: 'c' }))).rejects.toThrow('c does not start');
    expect(log).toEqual(['+a', '+b', '-c', '-b', '-a']);
  });

  it('undoes what a service had made before its start failed', async () => {
    const made = new Set<string>();
    const lifecycle = new Lifecycle(() => {});
    const half: Service = {
      name: 'half',
      start: async () => {
        made.add('sets');
        throw new Error('no rules');
      },
      stop: async () => void made.delete('sets'),
    };
    await expect(lifecycle.start([half])).rejects.toThrow('no rules');
    expect(made).toEqual(new Set());
  });

  it('stopped while a service starts waits for it, starts no other, and says so', async () => {
    const log: string[] = [];
    const lifecycle = new Lifecycle(() => {});
    const [a, b, c] = services(log) as [Service, Service, Service];
    let goOn = () => {};
    const slow: Service = {
      ...b,
      start: async () => {
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
        await b.start();
      },
    };
    const started = lifecycle.start([a, slow, c]);
    await new Promise((resolve) => setImmediate(resolve));
    let stopped = 0;
    const stops = [lifecycle.stop(), lifecycle.stop()].map((stop) =>
      stop.then(() => {
        stopped += 1;
      }),
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['+a']);
    expect(stopped).toBe(0);
    goOn();
    expect(await started).toBe(false);
    await Promise.all(stops);
    expect(log).toEqual(['+a', '+b', '-b', '-a']);
    expect(await lifecycle.start([a])).toBe(true);
  });

  it('that is stopped while it starts waits for the service at hand, and starts no other', async () => {
    const log: string[] = [];
    const lifecycle = new Lifecycle(() => {});
    const [a, b, c] = services(log) as [Service, Service, Service];
    let stopping: Promise<void> | undefined;
    const slow: Service = {
      name: 'b',
      start: async () => {
        stopping = lifecycle.stop();
        await new Promise((resolve) => setImmediate(resolve));
        await b.start();
      },
      stop: () => b.stop(),
    };
    expect(await lifecycle.start([a, slow, c])).toBe(false);
    await stopping;
    expect(log).toEqual(['+a', '+b', '-b', '-a']);
    expect(await lifecycle.start([a])).toBe(true);
  });

  it('reports a failure to stop and stops the others', async () => {
    const log: string[] = [];
    const reported: string[] = [];
    const lifecycle = new Lifecycle((name, message) => reported.push(`${name}: ${message}`));
    await lifecycle.start(services(log, { stop: 'b' }));
    await lifecycle.stop();
    expect(log.slice(3)).toEqual(['-c', '-b', '-a']);
    expect(reported).toEqual(['b: b does not stop']);
  });
});

describe('errors', () => {
  class KernelError extends BarricataError {}

  it('carry operation, kind, cause and the name of their class', () => {
    const cause = new Error('ENOENT');
    const error = new KernelError('ipset add', 'missing', 'the set is gone', cause);
    expect(error).toMatchObject({ operation: 'ipset add', kind: 'missing', name: 'KernelError', cause });
    expect(messageOf(error)).toBe('the set is gone: ENOENT');
  });

  it.each([
    ['text', 'text'],
    [undefined, 'undefined'],
    [null, 'null'],
    [new Error(''), 'Error'],
    [new Error('a: b', { cause: new Error('b') }), 'a: b'],
    [new Error('a', { cause: new Error('b', { cause: 'c' }) }), 'a: b: c'],
  ])('are put on one line: %s', (thrown, text) => {
    expect(messageOf(thrown)).toBe(text);
  });

  it('that are caused by themselves do not recurse for ever', () => {
    const error = new Error('loop');
    error.cause = error;
    expect(messageOf(error)).toContain('loop');
  });

  it('of several failed attempts name them all', () => {
    const thrown = new AggregateError([
      new Error('connect ECONNREFUSED ::1:6379'),
      new Error('connect ECONNREFUSED 127.0.0.1:6379'),
    ]);
    expect(messageOf(thrown)).toBe('connect ECONNREFUSED ::1:6379, connect ECONNREFUSED 127.0.0.1:6379');
  });

  it('say where a switch met the unexpected', () => {
    expect(() => unreachable({ kind: 'x' } as never, 'decide')).toThrow('decide: unexpected {"kind":"x"}');
  });
});
