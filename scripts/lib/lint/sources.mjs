// The TypeScript files of the project: what they import and export.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), '../../..');

const IMPORT = /^(?:import|export)\b[^;'"]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm;
const EXPORT = /^export (?:abstract |declare |async )*(class|interface|type|function|const) (\w+)/gm;

/**
 * Of the folders `tops`: [{ path, lines, imports: [{ target, line }], exports: [{ kind, name }] }]. Paths are relative to the
 * project; targets within it too, others (`node:fs`, `zod`) are as they are written. Types count as the rest.
 */
export function readSources(...tops) {
  return tops.flatMap((top) =>
    readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .sort()
      .map((name) => readSource(join(top, name))),
  );
}

const INCLUDE = /^#include "([^"]+)"/gm;

/** The same of the addon, native/: includes of the project's own files. */
export function readNativeSources() {
  return readdirSync(join(ROOT, 'native'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(cc|h)$/.test(name))
    .sort()
    .map((name) => {
      const path = join('native', name);
      const text = readFileSync(join(ROOT, path), 'utf8');
      const imports = [...text.matchAll(INCLUDE)].map(({ 1: written, index }) => ({
        target: join(dirname(path), written),
        line: text.slice(0, index).split('\n').length,
      }));
      return { path, lines: text.trimEnd().split('\n').length, imports };
    });
}

function readSource(path) {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const imports = [...text.matchAll(IMPORT)].map((found) => ({
    target: targetOf(path, found[1] ?? found[2] ?? found[3]),
    line: text.slice(0, found.index).split('\n').length,
  }));
  const exports = [...text.matchAll(EXPORT)].map(([, kind, name]) => ({ kind, name }));
  return { path, lines: text.trimEnd().split('\n').length, imports, exports };
}

function targetOf(path, written) {
  if (!written.startsWith('.')) return written;
  return relative(ROOT, resolve(ROOT, dirname(path), written)).replace(/\.js$/, '.ts');
}

/** Prints the faults that no exception covers, and the exceptions that cover none. */
export function report(faults, exceptions = []) {
  const used = new Set();
  const left = faults.filter((fault) => {
    const exception = exceptions.find((text) => fault.includes(text));
    if (exception !== undefined) used.add(exception);
    return exception === undefined;
  });
  const unused = exceptions.filter((text) => !used.has(text));
  for (const fault of left) console.error(fault);
  for (const text of unused) console.error(`the exception ${JSON.stringify(text)} covers nothing any more: remove it`);
  process.exitCode = left.length + unused.length > 0 ? 1 : 0;
}
