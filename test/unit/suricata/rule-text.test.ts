import { describe, expect, it } from 'vitest';
import { metadataOf, type Rule, RuleTextParser } from '../../../src/suricata/rule-text.js';

const parse = (text: string) => new RuleTextParser().parse(Buffer.from(text, 'utf8').toString('latin1'));

/** A rule with these options besides its sid. */
function rule(options: string, header = 'alert tcp $EXTERNAL_NET any -> $HOME_NET 80'): Rule {
  const parsed = parse(`${header} (${options} sid:1; rev:2;)`);
  if (typeof parsed === 'string') throw new Error(`${options}: ${parsed}`);
  return parsed;
}

describe('the text of a rule', () => {
  it('gives numbers, text and class', () => {
    const text =
      'drop http $EXTERNAL_NET any -> [$HOME_NET, !10.1.0.0/16] [80,8080:8090] ' +
      '(msg:"ET WEB \\"quoted\\"\\; a\\:b C\\\\d \\x é"; classtype:web-application-attack; gid:3; sid:2019232; rev:4; priority:1;)';
    expect(parse(text)).toEqual({
      gid: 3,
      sid: 2019232,
      rev: 4,
      msg: 'ET WEB "quoted"; a:b C\\d x é',
      classtype: 'web-application-attack',
      priority: 1,
      header: {
        action: 'drop',
        protocol: 'http',
        source: '$EXTERNAL_NET',
        sourcePorts: 'any',
        arrow: '->',
        destination: '[$HOME_NET, !10.1.0.0/16]',
        destinationPorts: '[80,8080:8090]',
      },
      flow: null,
      target: null,
      threshold: null,
      noalert: false,
      metadata: [],
    });
  });

  it.each([
    ['flow:established,to_server;', 'to_server', true, false, false],
    ['flow: from_client , established ;', 'to_server', true, false, false],
    ['flow:from_server,established,only_stream;', 'to_client', true, false, false],
    ['flow:to_client;', 'to_client', false, false, false],
    ['flow:not_established, to_server;', 'to_server', false, true, false],
    ['flow:stateless;', null, false, false, true],
    ['flow:to_server,to_client;', null, false, false, false],
    ['flow:established;', null, true, false, false],
  ])('%s', (options, direction, established, notEstablished, stateless) => {
    expect(rule(options).flow).toEqual({ direction, established, notEstablished, stateless });
  });

  it.each([
    ['threshold: type limit, track by_src, count 1, seconds 60;', 'limit', 'by_src', 1, 60],
    ['threshold:type both,track by_dst,seconds 5,count 100;', 'both', 'by_dst', 100, 5],
    ['threshold: type both , count 30 , seconds 60 , track  by_rule ;', 'both', 'by_rule', 30, 60],
    ['threshold:type backoff, track by_flow, count 1, multiplier 10;', 'backoff', 'by_flow', 1, null],
    ['detection_filter:track by_both, count 9, seconds 3;', 'detection_filter', 'by_both', 9, 3],
    ['threshold:type new, track by_moon, count x;', 'both', null, null, null],
  ])('%s', (options, type, track, count, seconds) => {
    expect(rule(options).threshold).toEqual({ type, track, count, seconds });
  });

  it('tells target, and rules that never alert', () => {
    expect(rule('target:src_ip;').target).toBe('src_ip');
    expect(rule('target: dest_ip ;').target).toBe('dest_ip');
    expect(rule('target:elsewhere;').target).toBeNull();
    expect(rule('noalert;').noalert).toBe(true);
    expect(rule('flowbits:set,x; flowbits:noalert;').noalert).toBe(true);
    expect(rule('flowbits:set,noalert;').noalert).toBe(false);
  });

  it('lists the values of each metadata key, over several options', () => {
    const { metadata } = rule('metadata:tag a, tag b,  created_at 2024_05_01; metadata: barricata ban, lonely ,;');
    expect(metadataOf({ metadata })).toEqual({
      tag: ['a', 'b'],
      created_at: ['2024_05_01'],
      barricata: ['ban'],
      lonely: [''],
    });
    expect(metadataOf(rule('metadata:__proto__ x;'))).toHaveProperty('__proto__', ['x']);
  });

  it('splits at every semicolon without a backslash, as Suricata does, and nowhere else', () => {
    const text =
      'content:"a|3b|b\\; sid:7\\;"; pcre:"/(x:y)\\;[^)]/R"; content:"\\\\"; http.uri; reference:url,a.b/c:d;';
    expect(rule(text)).toMatchObject({ sid: 1, rev: 2 });
  });

  it.each([
    ['alert tcp any any <> any any', '<>', 'any'],
    ['alert http any any => any any', '=>', 'any'],
    ['alert ip [10.0.0.0/8, 1.2.3.4] [1,2] -> any any', '->', '[10.0.0.0/8, 1.2.3.4]'],
    ['alert ip ![$HOME_NET,[1.2.3.0/24,!1.2.3.4]] any -> any any', '->', '![$HOME_NET,[1.2.3.0/24,!1.2.3.4]]'],
    ['accept:hook tls:client_hello_done any any -> any any', '->', 'any'],
    ['alert pkthdr', '->', 'any'],
    ['alert\ttcp\tany  any\t->\tany any', '->', 'any'],
  ])('%s', (header, arrow, source) => {
    expect(rule('', header).header).toMatchObject({ arrow, source });
  });

  it.each([
    ['hello world', 'not_a_rule'],
    ['alerts tcp any any -> any any (sid:1;)', 'not_a_rule'],
    ['alert', 'unfinished'],
    ['alert tcp any any -> any any', 'unfinished'],
    ['alert tcp any any -> any any (msg:"half', 'unfinished'],
    ['alert tcp any any -> any any (msg:"half"; sid:1;', 'unfinished'],
    ['alert tcp any any -> any any (msg:"half"; sid:1)', 'unfinished'],
    ['alert tcp any any any any any (sid:1;)', 'bad_header'],
    ['alert tcp any any -> any (sid:1;)', 'bad_header'],
    ['alert tcp any any -> any any any (sid:1;)', 'bad_header'],
    ['alert (sid:1;)', 'bad_header'],
    ['alert tcp any any -> any any ()', 'no_sid'],
    ['alert tcp any any -> any any (msg:"x"; rev:1;)', 'no_sid'],
    ['alert tcp any any -> any any (sid:0;)', 'bad_number'],
    ['alert tcp any any -> any any (sid:-1;)', 'bad_number'],
    ['alert tcp any any -> any any (sid:4294967296;)', 'bad_number'],
    ['alert tcp any any -> any any (sid:1; rev:two;)', 'bad_number'],
    ['alert tcp any any -> any any (sid:1; gid:;)', 'bad_number'],
  ])('%s is none: %s', (text, problem) => {
    expect(parse(text)).toBe(problem);
  });

  it('shares what many rules have in common', () => {
    const parser = new RuleTextParser();
    const [a, b] = [1, 2].map(
      (sid) =>
        parser.parse(
          `alert tcp any any -> any any (flow:to_server; threshold:type limit,track by_src; classtype:misc-attack; metadata:tag x; sid:${sid};)`,
        ) as Rule,
    );
    expect(a?.header).toBe(b?.header);
    expect(a?.flow).toBe(b?.flow);
    expect(a?.threshold).toBe(b?.threshold);
  });
});
