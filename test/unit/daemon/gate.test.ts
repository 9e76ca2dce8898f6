import { describe, expect, it } from 'vitest';
import { FOREVER } from '../../../src/base/clock.js';
import { createLog } from '../../../src/base/log.js';
import { parseConfig } from '../../../src/config/load.js';
import { ProtectedFacts } from '../../../src/daemon/gate.js';
import type { Address } from '../../../src/net/address.js';
import { prefix } from '../../../src/net/prefix.js';
import { FakeClock } from '../../support/clock.js';

function lab(yaml = 'host: test\n') {
  const clock = new FakeClock();
  const config = parseConfig(yaml, 'test.yaml');
  const allowed = new Map<string, number>();
  const live: { address: Address; what: string }[] = [];
  const told: (readonly string[] | 'all')[] = [];
  const facts = new ProtectedFacts({
    config: () => config,
    live: () => [...live],
    allowed: {
      entries: () => allowed,
      get: (text) => {
        const until = allowed.get(text);
        return until !== undefined && until > clock.now() ? until : undefined;
      },
    },
    onChange: (texts) => told.push(texts),
    clock,
    log: createLog('silent'),
  });
  const refused = (text: string) => facts.refuse(prefix(text))?.cause ?? null;
  return { clock, allowed, live, told, facts, refused };
}

describe('the protected facts', () => {
  it('refuse a banned address as soon as it is allowed, and judge only what it concerns again', async () => {
    const { allowed, told, facts, refused } = lab();
    await facts.start();
    told.length = 0;
    expect(refused('203.0.113.9')).toBeNull();
    allowed.set('203.0.113.9', FOREVER);
    facts.allowChanged(['203.0.113.9']);
    expect(refused('203.0.113.9')).toBe('allowed');
    expect(refused('203.0.113.0/24')).toBe('allowed');
    expect(told).toHaveLength(1);
    expect(told[0]).toEqual(expect.arrayContaining(['203.0.113.9', '203.0.113.0/24', '0.0.0.0/0']));
    expect(told[0]).toHaveLength(33);
    allowed.delete('203.0.113.9');
    facts.allowChanged(['203.0.113.9']);
    expect(refused('203.0.113.9')).toBeNull();
    await facts.stop();
  });

  it('judge everything again for an allowed network, since bans may lie inside it', async () => {
    const { allowed, told, facts, refused } = lab();
    await facts.start();
    told.length = 0;
    allowed.set('203.0.113.0/24', FOREVER);
    facts.allowChanged(['203.0.113.0/24']);
    expect(told).toEqual(['all']);
    expect(refused('203.0.113.77')).toBe('allowed');
    await facts.stop();
  });

  it('let go of an allow entry when it ends, by themselves', async () => {
    const { allowed, told, facts, refused, clock } = lab();
    await facts.start();
    allowed.set('203.0.113.9', clock.now() + 5000);
    facts.allowChanged(['203.0.113.9']);
    expect(refused('203.0.113.9')).toBe('allowed');
    told.length = 0;
    await clock.advance(6000);
    expect(refused('203.0.113.9')).toBeNull();
    expect(told.flat()).toContain('203.0.113.9');
    await facts.stop();
  });

  it('follow the live machine, one address at a time', async () => {
    const { live, told, facts, refused } = lab();
    live.push({ address: '198.51.100.1' as Address, what: 'own address' });
    await facts.start();
    told.length = 0;
    expect(refused('198.51.100.1')).toBe('this_machine');
    live.push({ address: '198.51.100.2' as Address, what: 'ssh session of root' });
    facts.liveChanged();
    expect(refused('198.51.100.2')).toBe('this_machine');
    expect(told[0]).toContain('198.51.100.2');
    expect(told[0]).not.toContain('198.51.100.1');
    live.shift();
    facts.liveChanged();
    expect(refused('198.51.100.1')).toBeNull();
    await facts.stop();
  });
});
