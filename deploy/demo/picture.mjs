// `sudo node deploy/demo/picture.mjs docs/demo.png`: plays the demonstration in a
// terminal and draws what that shows. Needs `script` (package bsdutils, on every
// Debian), `rsvg-convert` (librsvg2-bin), `pngquant` and the font DejaVu Sans Mono
// (fonts-dejavu-core).

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const COLUMNS = 120;
/** Pixels; a character of DejaVu Sans Mono is 0.602 em wide. */
const SIZE = { font: 13, column: 13 * 0.602, line: 17, margin: 16 };
const COLOUR = { page: '#16181d', text: '#d7dae0', bold: '#ffffff', dim: '#8b93a1', 32: '#7fc97a' };

const [target] = process.argv.slice(2);
if (target === undefined) {
  process.stderr.write('usage: sudo node deploy/demo/picture.mjs FILE.png\n');
  process.exit(2);
}

/** What the demonstration prints on a terminal of this width, escape sequences included. */
function recorded() {
  const demo = fileURLToPath(new URL('demo.mjs', import.meta.url));
  const play = `stty cols ${COLUMNS} rows 50; exec '${process.execPath}' '${demo}' --no-pause`;
  const printed = execFileSync('script', ['-qec', play, '/dev/null'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return printed.replaceAll('\r', '').trimEnd().split('\n');
}

/** Cuts a line at its colour changes (ECMA-48 SGR) into texts with their style. */
function* runs(line) {
  let style = '';
  let column = 0;
  for (const part of line.split(/(\x1b\[\d*m)/)) {
    if (part.startsWith('\x1b')) style = part.slice(2, -1);
    else if (part !== '') {
      yield { text: part, style, column };
      column += [...part].length;
    }
  }
}

function drawn(lines) {
  const { font, column, line: height, margin } = SIZE;
  const texts = lines.flatMap((line, row) =>
    [...runs(line)].map(({ text, style, column: at }) => {
      const fill = { 1: COLOUR.bold, 2: COLOUR.dim, 32: COLOUR[32] }[style] ?? COLOUR.text;
      const weight = style === '1' ? ' font-weight="bold"' : '';
      const place = `x="${(margin + at * column).toFixed(1)}" y="${margin + (row + 0.8) * height}"`;
      return `<text ${place} fill="${fill}"${weight} xml:space="preserve">${escaped(text)}</text>`;
    }),
  );
  const width = Math.ceil(COLUMNS * column + 2 * margin);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${lines.length * height + 2 * margin}"
    font-family="DejaVu Sans Mono" font-size="${font}"><rect width="100%" height="100%" fill="${COLOUR.page}"/>${texts.join('\n')}</svg>`;
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

const picture = execFileSync('rsvg-convert', { input: drawn(recorded()), maxBuffer: 1 << 24 });
execFileSync('pngquant', ['--strip', '--force', '--output', target, '64', '-'], { input: picture });
