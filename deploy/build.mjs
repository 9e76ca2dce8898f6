// Builds dist/ from src/: TypeScript by the locked compiler, then the files that
// the compiler leaves (Lua scripts, lists). `npm run build`.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.json`], {
  stdio: 'inherit',
});
cpSync(`${root}src`, `${root}dist`, {
  recursive: true,
  filter: (path) => !/\.[a-z]+$/.test(path) || /\.(lua|txt|json|html|css)$/.test(path),
});
try {
  chmodSync(`${root}dist/cli/main.js`, 0o755);
} catch {}
