// No file of more than 400 lines, no folder of more than 16 files (native/: a .cc and its .h are one). Of test/ the lines only: its
// folders mirror those of src/, with fixtures beside, and test/support is a box of tools.
import { dirname } from 'node:path';
import { readNativeSources, readSources, report } from './lib/lint/sources.mjs';

const MAX_LINES = 400;
const MAX_FILES = 16;

const sources = [...readSources('src', 'test', 'bench', 'examples'), ...readNativeSources()];
const faults = sources.flatMap(({ path, lines }) =>
  lines > MAX_LINES ? [`${path}: ${lines} lines, at most ${MAX_LINES}: divide it`] : [],
);
const counts = new Map();
for (const unit of new Set(sources.map(({ path }) => path.replace(/\.(cc|h)$/, '')))) {
  counts.set(dirname(unit), (counts.get(dirname(unit)) ?? 0) + 1);
}
for (const [folder, files] of counts) {
  if (files > MAX_FILES && !folder.startsWith('test')) faults.push(`${folder}/: ${files} files, at most ${MAX_FILES}: make rooms`);
}
report(faults);
