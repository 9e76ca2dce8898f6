import { describe, expect, it } from 'vitest';
import { parseEveEntry } from '../../../src/config/eve-entry.js';
import { parseConfig } from '../../../src/config/load.js';

describe('an entry of suricata.eve', () => {
  it.each([
    ['/var/log/suricata/eve*.json', { kind: 'files', source: '/var/log/suricata/eve*.json' }],
    ['unix:///run/b/eve.sock', { kind: 'socket', source: 'unix:///run/b/eve.sock', path: '/run/b/eve.sock' }],
    [
      'redis://127.0.0.1:6379/0?list=suricata',
      {
        kind: 'list',
        source: 'redis://127.0.0.1:6379/0?list=suricata',
        url: 'redis://127.0.0.1:6379/0?list=suricata',
        key: 'suricata',
      },
    ],
    ['redis://host?stream=a:b', { kind: 'stream', source: 'redis://host?stream=a:b', key: 'a:b' }],
    ['rediss://[2001:db8::5]:6380/2?list=x&ca=/etc/ca.pem', { kind: 'list', key: 'x' }],
    ['unix:///run/redis.sock?list=x&db=2', { kind: 'list', key: 'x', url: 'unix:///run/redis.sock?list=x&db=2' }],
  ])('is read: %s', (text, entry) => {
    expect(parseEveEntry(text)).toMatchObject(entry);
  });

  it('never shows a password in its name', () => {
    const entry = parseEveEntry('redis://alice:p%40ss@host:6379/0?list=suricata');
    expect(entry?.source).toBe('redis://host:6379/0?list=suricata');
  });

  it.each([
    '',
    'eve.json',
    'http://host?list=x',
    'unix://run/eve.sock',
    'unix:///',
    'unix:///run/',
    `unix:///${'x'.repeat(90)}`,
    'redis://host/0',
    'redis://host/0?list=',
    'redis://host/0?list=a&list=b',
    'redis://host/0?list=a&stream=b',
    'redis://host/0?list=a&steram=b',
    'redis://host/x?list=a',
    'redis:///0?list=a',
    'unix:///run/%zz?list=a',
  ])('is not "%s"', (text) => {
    expect(parseEveEntry(text)).toBeNull();
  });

  it('of any kind is acted on', () => {
    const eve = ['/var/log/eve*.json', 'unix:///run/eve.sock', 'redis://host/0?list=a', 'redis://host/0?stream=b'];
    const config = parseConfig(JSON.stringify({ suricata: { eve } }), 'x');
    expect(config.suricata.eve).toEqual(eve);
    expect(config.inactive).toEqual([]);
  });
});
