/**
 * What holds where the file says nothing, in the words of the file. The shipped
 * `config/barricata.yaml` says the same with comments; a test compares them.
 */

/** Categories (texts of Suricata's classification.config) that name an attack on a server. */
const ATTACK = [
  'Web Application Attack',
  'Attempted Administrator Privilege Gain',
  'Attempted User Privilege Gain',
  'Executable code was detected',
];

/** Categories that, from an own host to the outside, say that the own host is taken over. */
const TAKEN_OVER = [
  'A Network Trojan was detected',
  'Malware Command and Control Activity Detected',
  'Domain Observed Used for C2 Detected',
  'Crypto Currency Mining Activity Detected',
];

export const DEFAULT_POLICY = [
  {
    name: 'own host calls out',
    when: { category: TAKEN_OVER, severity: '1-2', from: 'home', to: 'outside' },
    then: 'flag',
  },
  {
    name: 'attack inside',
    when: { category: ATTACK, severity: '1-2', from: 'home', to: 'home' },
    then: 'flag',
  },
  { name: 'mail comes through relays', when: { app_proto: 'smtp' }, then: 'note' },
  {
    name: 'web exploitation',
    when: { category: ATTACK, severity: '1-2', app_proto: ['http', 'http2'], from: 'outside', proven: true },
    then: 'ban 1h',
  },
  {
    name: 'break-in attempt',
    when: { category: ATTACK, severity: '1-2', from: 'outside', proven: true },
    then: 'ban 1h',
  },
];

export const DEFAULT_HOME = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];
export const DEFAULT_NEVER_BAN = ['home', 'this_machine', 'infrastructure'];
