// Writes a rules file as large rule feeds are: long contents and metadata, a
// third of the rules switched off, headers and classes from a small number of kinds.
import { writeFileSync } from 'node:fs';

const HEADERS = [
  'http $EXTERNAL_NET any -> $HTTP_SERVERS any',
  'http $HOME_NET any -> $EXTERNAL_NET any',
  'tcp $EXTERNAL_NET any -> $HOME_NET [139,445]',
  'tls $EXTERNAL_NET 443 -> $HOME_NET any',
  'dns $HOME_NET any -> any any',
  'udp [$HOME_NET,!$DNS_SERVERS] any -> $EXTERNAL_NET 53',
];
const FLOWS = ['established,to_server', 'established,from_server', 'to_client,established', 'from_client', 'stateless'];
const CLASSES = ['web-application-attack', 'trojan-activity', 'attempted-admin', 'policy-violation', 'misc-attack'];
const SEVERITIES = ['Informational', 'Minor', 'Major', 'Critical'];

/** @returns how many rules are switched on */
export function writeRules(path, count) {
  let seed = 12_345;
  const random = (below) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  const of = (list) => list[random(list.length)];
  const word = () =>
    random(2 ** 24)
      .toString(36)
      .padStart(5, 'q');
  const date = () =>
    `20${10 + random(16)}_${String(1 + random(12)).padStart(2, '0')}_${String(1 + random(28)).padStart(2, '0')}`;
  const lines = ['# made by a benchmark', ''];
  for (let i = 0; i < count; i++) {
    const contents = Array.from(
      { length: 2 + random(4) },
      () => `content:"/${word()}|3b 20|${word()}\\;${word()}"; nocase;`,
    );
    const threshold =
      random(12) === 0
        ? `threshold:type both,track ${of(['by_src', 'by_dst'])},count ${1 + random(50)},seconds 60; `
        : '';
    const rule =
      `alert ${of(HEADERS)} (msg:"MADE ${word()} ${word()} Possible ${word()} Attempt (${word()})"; flow:${of(FLOWS)}; ${threshold}` +
      `http.uri; ${contents.join(' ')} pcre:"/^\\/${word()}[^\\x3b]{${random(99)},}${word()}/Ri"; reference:url,${word()}.example/${word()}; ` +
      `classtype:${of(CLASSES)}; sid:${2_000_000 + i}; rev:${1 + random(9)}; ` +
      `metadata:affected_product ${word().slice(0, 1)}_Server, attack_target ${of(['Client_Endpoint', 'Web_Server'])}, created_at ${date()}, ` +
      `deployment Perimeter, confidence ${of(['Low', 'Medium', 'High'])}, signature_severity ${of(SEVERITIES)}, updated_at ${date()};)`;
    lines.push(rule);
    // One in three comes switched off.
    if (i % 2 === 0) lines.push(`#${rule}`);
  }
  writeFileSync(path, `${lines.join('\n')}\n`);
  return count;
}
