import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const src = fileURLToPath(new URL('../../src/', import.meta.url));

/** What each folder may import, besides itself. Imports go one way (ARCHITECTURE.md, Layers). */
const base = ['base'];
const net = [...base, 'net'];
const config = [...net, 'config'];
const netlink = [...config, 'netlink'];
const protection = [...netlink, 'protection'];
const policy = [...protection, 'filter', 'suricata', 'enforcement', 'policy'];
const blocklist = [...policy, 'blocklist'];
const daemon = [...blocklist, 'history', 'replay', 'daemon'];
const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  net: base,
  config: net,
  netlink: config,
  protection: netlink,
  filter: protection,
  suricata: protection,
  enforcement: protection,
  policy: [...protection, 'filter', 'suricata', 'enforcement'],
  blocklist: policy,
  history: blocklist,
  replay: policy,
  daemon: [...blocklist, 'history', 'replay'],
  cli: daemon,
};

function files(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    if (statSync(path).isDirectory()) return files(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

const modules = files(src).map((path) => {
  const text = readFileSync(path, 'utf8');
  const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((m) =>
    relative(src, normalize(join(dirname(path), m[1] as string))),
  );
  return { path: relative(src, path), text, imports };
});

describe('the tree', () => {
  it('is seen by this test', () => {
    expect(modules.length).toBeGreaterThan(20);
    expect(modules.reduce((sum, m) => sum + m.imports.length, 0)).toBeGreaterThan(30);
  });

  it('imports one way only', () => {
    const wrong = modules.flatMap(({ path, imports }) => {
      const layer = path.split('/')[0] as string;
      const allowed = MAY_IMPORT[layer];
      if (!allowed) return [`${path}: folder ${layer} has no place in the layers`];
      return imports
        .filter((target) => target.split('/')[0] !== layer && !allowed.includes(target.split('/')[0] as string))
        .map((target) => `${path} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it('loads the foreign function interface in one file', () => {
    expect(modules.filter((m) => m.text.includes("'koffi'")).map((m) => m.path)).toEqual(['netlink/libc.ts']);
  });

  it('has no timer loop besides BoundedRunner', () => {
    expect(modules.filter((m) => /\bsetInterval\(/.test(m.text)).map((m) => m.path)).toEqual([]);
  });

  it('never builds a shell command', () => {
    expect(modules.filter((m) => /(?<![.\w])exec(Sync)?\(|shell:\s*true/.test(m.text)).map((m) => m.path)).toEqual([]);
  });

  it('keeps files under 400 lines', () => {
    const long = modules.filter((m) => m.text.split('\n').length > 400).map((m) => m.path);
    expect(long).toEqual([]);
  });
});
