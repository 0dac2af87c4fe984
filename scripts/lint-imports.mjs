// Folders import downwards only (docs/architecture.md). Fails with file, line and what is allowed.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const SRC = resolve(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), '../src');

/** Folder → the folders that it may import from, besides itself. Files of src/ itself: '.'. */
const PURE = ['net', 'time', 'objects', 'balancing', 'routing'];
const ALLOWED = {
  net: [],
  time: [],
  objects: ['net', 'time'],
  balancing: ['net', 'time', 'objects'],
  routing: ['net', 'time', 'objects', 'balancing'],
  kernel: ['net', 'time'],
  yaml: [],
  config: ['net', 'time', 'yaml'],
  kubernetes: ['net', 'time', 'objects', 'yaml'],
  dataplane: [...PURE, 'kernel'],
  observe: [...PURE, 'explain'],
  host: ['net', 'time', 'kernel', 'config', 'dataplane'],
  modes: [...PURE, 'kernel', 'config', 'dataplane', 'host'],
  explain: [...PURE],
  compare: [...PURE, 'explain'],
  balancer: [...PURE, 'kernel', 'config', 'kubernetes'],
  agent: [...PURE, 'kernel', 'config', 'kubernetes', 'dataplane', 'explain', 'balancer', 'observe', 'host', 'modes'],
  cli: [...PURE, 'kernel', 'config', 'kubernetes', 'dataplane', 'explain', 'compare', 'balancer', 'observe', 'host', 'modes', 'agent'],
  '.': ['cli', 'net'],
};

const MAX_LINES = 400;
const faults = [];

for (const entry of readdirSync(SRC, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
  const file = join(entry.parentPath ?? entry.path, entry.name);
  const lines = readFileSync(file, 'utf8').split('\n');
  if (lines.length > MAX_LINES) faults.push(`${relative('.', file)}: ${lines.length} lines, at most ${MAX_LINES}`);
  const [from] = folders(file);
  for (const [i, line] of lines.entries()) {
    const target = /(?:from|import\(|import) '(\.[^']+)'/.exec(line)?.[1];
    if (!target) continue;
    const at = `${relative('.', file)}:${i + 1}`;
    const imported = resolve(dirname(file), target);
    const [to, mode] = folders(imported);
    if (to === '.' && /\/errors\.js$/.test(imported)) continue;
    if (to !== from && !ALLOWED[from]?.includes(to)) {
      faults.push(`${at}: ${from}/ must not import from ${to}/ (allowed: ${ALLOWED[from]?.join(', ')})`);
    }
    const ownMode = folders(file)[1];
    if (from === 'dataplane' && to === 'dataplane' && mode && mode !== 'family' && ownMode !== mode) {
      faults.push(`${at}: the modes in dataplane/ must not import each other, only dataplane/family`);
    }
  }
}

for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;

/** `/…/src/dataplane/iptables/x.ts` → ['dataplane', 'iptables']; a file of src/ itself → ['.']. */
function folders(path) {
  const parts = relative(SRC, path).split('/');
  return parts.length === 1 ? ['.'] : parts.slice(0, -1);
}
