/** A client behind a trusted proxy: its ban is stored, and nothing says that its packets are dropped. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';

const PROXY = '198.51.100.80';
const CLIENT = '203.0.113.70';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a client behind a trusted proxy', () => {
  let b: Barricata;

  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata();
    b.configure({ suricata: { eve: [b.eve], trusted_proxies: [PROXY] } });
    writeFileSync(b.eve, '');
    await b.start();
    appendFileSync(b.eve, alertLine(PROXY, { xff: `8.8.8.8, ${CLIENT}` }));
    await waitFor('the client in the kernel', () => b.elements().has(CLIENT), 5000);
  });
  afterAll(() => b?.remove());

  it('is banned, and the proxy is not', () => {
    expect([...b.elements().keys()]).toEqual([CLIENT]);
    expect(JSON.parse(b.redis('GET', `barricata:ban:${CLIENT}`))).toMatchObject({
      effect: 'none at layer 3',
      role: 'inbound',
      resolved_by: expect.stringContaining(`X-Forwarded-For of trusted proxy ${PROXY}`),
    });
  });

  it('is listed as proxied', () => {
    expect(b.cli('list', '-o', 'table').out).toMatch(new RegExp(`${CLIENT.replaceAll('.', '\\.')}.*\\bproxied\\b`));
    expect(b.cli('list', '-o', 'json').json()).toMatchObject([{ address: CLIENT, effect: 'none at layer 3' }]);
  });

  it('is said by why to be banned without effect here', () => {
    const { code, out } = b.cli('why', CLIENT, '-o', 'table');
    expect(code).toBe(0);
    expect(out).toContain('WITHOUT EFFECT HERE');
    expect(out).toContain('none at layer 3');
  });
});
