import { describe, expect, it } from 'vitest';
import { diffConfigs } from '../../../src/config/diff.js';
import { readDocument } from '../../../src/config/load.js';
import { withoutSecrets } from '../../../src/config/secrets.js';

const diff = (before: string, after: string) => diffConfigs(readDocument(before, 'a'), readDocument(after, 'b'));
const keys = (before: string, after: string) =>
  diff(before, after).keys.map((change) => `${change.path}: ${change.before} -> ${change.after}`);
const lines = (before: string, after: string) => {
  const policy = (text: string) => `policy: [ ${text} ]`;
  return diff(policy(before), policy(after)).policy.map(({ name, change, from, to, parts }) => [
    name,
    change,
    from,
    to,
    ...parts.map((part) => `${part.path}: ${part.before} -> ${part.after}`),
  ]);
};
const line = (name: string, when = 'sid: 5', then = 'note') => `{ name: ${name}, when: { ${when} }, then: ${then} }`;
const all = (...names: readonly string[]) => names.map((name) => line(name, `sid: ${name.charCodeAt(0)}`)).join(', ');

describe('what one configuration says differently from another', () => {
  it('is nothing when only the writing differs', () => {
    const before = '# why\nlimits: { new_bans_per_minute: 100, total_bans: 1000000 }\notherwise: note\nmode: enforce';
    const after =
      'mode: enforce\nsuricata: { ignore_alerts_older_than: 600s }\nhome: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "fc00:0::/7"]';
    expect(diff(before, after)).toMatchObject({ policy: [], keys: [] });
    expect(diff(before, after).before).toBe(diff(before, after).after);
    expect(lines(line('a', 'severity: 1'), line('a', 'severity: 1-1, note: INC-1'))).toEqual([]);
  });

  it('is told by dotted path, in the words of the files', () => {
    expect(keys('mode: enforce', 'mode: observe\nlimits: { unproven: { never_over: 5m } }')).toEqual([
      'mode: enforce -> observe',
      'limits.unproven.never_over: (default) -> 5m',
    ]);
    expect(keys('filter: { syn: off }', 'filter: { syn: { more_than: 9/s, during: 1s, then: ban 1m } }')).toEqual([
      'filter.syn: off -> { more_than: 9/s, during: 1s, then: ban 1m }',
    ]);
    expect(keys('quarantine: off', 'mode: enforce')).toEqual(['quarantine: off -> (default)']);
  });

  it('names the entries of a list that came and went', () => {
    const entry = '{ address: 198.51.100.0/24, reason: test }';
    expect(keys('never_ban: [home, 203.0.113.1]', `never_ban: [home, ${entry}]`)).toEqual([
      'never_ban: 203.0.113.1 -> null',
      `never_ban: null -> ${entry}`,
    ]);
  });

  it('tells policy lines by name: added, removed, changed condition by condition', () => {
    expect(lines(line('a', 'sid: [5, 6]', 'ban 1h'), line('a', 'sid: [6, 7], from: outside', 'ban 4h'))).toEqual([
      [
        'a',
        'changed',
        1,
        1,
        'when.sid: 5 -> null',
        'when.sid: null -> 7',
        'when.from: null -> outside',
        'then: ban 1h -> ban 4h',
      ],
    ]);
    expect(lines(line('a'), line('b', 'sid: 6', 'flag'))).toEqual([
      ['a', 'removed', 1, null, 'when.sid: 5 -> null', 'then: note -> null'],
      ['b', 'added', null, 1, 'when.sid: null -> 6', 'then: null -> flag'],
    ]);
  });

  it('calls moved only what has to move', () => {
    expect(lines(all('a', 'b', 'c', 'd'), all('d', 'a', 'b', 'c'))).toEqual([['d', 'moved', 4, 1]]);
    expect(lines(all('a', 'b', 'c'), all('x', 'a', 'b', 'c')).map(([name, change]) => [name, change])).toEqual([
      ['x', 'added'],
    ]);
    expect(lines(all('a', 'b', 'c'), all('c', 'b', 'a')).length).toBe(2);
  });

  it('shows no password, and tells that one changed', () => {
    const redis = (password: string) => `redis: { url: "redis://user:${password}@10.0.0.5:6379/0" }`;
    expect(keys(redis('one'), redis('two'))).toEqual([
      'redis.url: redis://***@10.0.0.5:6379/0 -> redis://***@10.0.0.5:6379/0 (another secret)',
    ]);
    const notify = (secret: string) => `notify: [ { url: "https://hooks.example/${secret}" } ]`;
    expect(keys(notify('one'), notify('two'))).toEqual(['notify: (not shown) -> (not shown)']);
    expect(keys('redis: { embedded: true }', 'mode: enforce')).toEqual([]);
    const users = (hash: string) => `console: { users: [ { name: x, password: ${hash} } ] }`;
    expect(keys(users('one'), users('two'))).toEqual(['console.users: (not shown) -> (not shown)']);
  });

  it('takes secrets out of what is quoted, also of addresses that are misspelt', () => {
    expect(withoutSecrets('url: "redis:/user:se/cret@h"')).toBe('url: "redis:/***@h"');
    expect(withoutSecrets("[a, 'https://h/x?token=abc&y=1']")).toBe("[a, 'https://h/x?token=***&y=1']");
    expect(withoutSecrets('reason: mail bob@example.org')).toBe('reason: mail bob@example.org');
    expect(() => readDocument('redis: { url: "redis:/user:secret@h" }', 'a')).toThrow(/redis:\/\*\*\*@h/);
  });

  it('compares with the built-in policy where a file has none', () => {
    const changes = diff('mode: enforce', `policy: [ ${line('web exploitation')} ]`).policy;
    expect(changes.map(({ name, change }) => [name, change])).toEqual([
      ['own host calls out', 'removed'],
      ['attack inside', 'removed'],
      ['mail comes through relays', 'removed'],
      ['break-in attempt', 'removed'],
      ['web exploitation', 'changed'],
    ]);
  });
});
