import { prefix } from '../net/prefix.js';

/** The ways in which people usually write this canonical prefix. */
export function usualSpellings(text: string): string[] {
  if (text.includes('/')) return [text];
  return text.includes(':') ? [text, `${text}/128`] : [text, `${text}/32`, `::ffff:${text}`];
}

/**
 * Patterns of SCAN that together match every spelling of this canonical prefix,
 * and few others, so that Redis need not send all its keys to find one.
 */
export function spellingPatterns(text: string): string[] {
  const { family, w0, w1, w2 } = prefix(text);
  // An IPv4 address has one dotted spelling; any other puts it into ::ffff:0:0/96.
  if (family === 4) return [`*${text.split('/')[0]}*`, '*:[fF][fF][fF][fF]:*'];
  // Zero groups may be left out, zeros before a group written; the last two groups may be dotted decimal.
  const groups = [w0, w1, w2].flatMap((word) => [word >>> 16, word & 0xffff]).filter((group) => group !== 0);
  return [`*${groups.map((group) => `${anyCase(group.toString(16))}:*`).join('')}`];
}

function anyCase(hex: string): string {
  return hex.replace(/[a-f]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}
