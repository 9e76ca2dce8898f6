import { describe, expect, it } from 'vitest';
import { ruleFacts, sideOf } from '../../../src/policy/rule-facts.js';
import { RulesetLines } from '../../../src/suricata/ruleset.js';

function facts(text: string) {
  const lines = new RulesetLines();
  lines.push(text);
  return ruleFacts(lines.end('test.rules'), 1, 1);
}

describe('the facts of a rule', () => {
  it('are absent for a rule that the file does not have', () => {
    expect(facts('')).toBeNull();
    expect(facts('alert tcp any any -> any any (sid:1; gid:2;)')).toBeNull();
  });

  it('say what decisions look at', () => {
    const text =
      'alert http $HOME_NET any -> $EXTERNAL_NET any (flow:established,to_client; threshold:type both,track by_dst,count 5,seconds 9; ' +
      'target:src_ip; classtype:trojan-activity; metadata:confidence Low; noalert; sid:1; rev:8;)';
    expect(facts(text)).toEqual({
      rev: 8,
      flow: 'to_client',
      established: true,
      notEstablished: false,
      stateless: false,
      track: 'by_dst',
      threshold: 'both',
      target: 'src_ip',
      classtype: 'trojan-activity',
      protocol: 'http',
      source: 'home',
      destination: 'external',
      bothWays: false,
      metadata: { confidence: ['Low'] },
      noalert: true,
    });
    expect(facts('alert ip any any <> any any (sid:1;)')).toMatchObject({ bothWays: true, flow: null, rev: 0 });
  });

  it.each([
    ['$HOME_NET', 'home'],
    ['[$HOME_NET,$HTTP_SERVERS]', 'home'],
    ['$SQL_SERVERS', 'home'],
    ['$EXTERNAL_NET', 'external'],
    ['!$HOME_NET', 'external'],
    ['[!$HOME_NET, !10.0.0.1]', 'external'],
    ['$AIM_SERVERS', 'external'],
    ['[$HOME_NET, !$SMTP_SERVERS]', 'home'],
    ['any', 'any'],
    ['[any,!1.2.3.4]', 'any'],
    ['[$HOME_NET,$EXTERNAL_NET]', 'other'],
    ['!$EXTERNAL_NET', 'other'],
    ['203.0.113.0/24', 'other'],
    ['[$HOME_NET,1.2.3.4]', 'other'],
    ['![1.2.3.4,$HOME_NET]', 'other'],
    ['$MY_OWN', 'other'],
    ['', 'other'],
  ])('%s is %s', (text, side) => {
    expect(sideOf(text)).toBe(side);
  });
});
