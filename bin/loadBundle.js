'use strict';
// The program from one file (scripts/bundle.mjs), with what V8 made of it when it was built: its functions need no compiling.
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { Script } = require('node:vm');

/**
 * `file`: main.cjs; beside it main.cache. V8 takes a cache only from its own version with the same flags, and compiles where it
 * is not so. Returns what the program exports, and the script.
 */
exports.loadBundle = (file) => {
  const cachedData = readIfThere(file.replace(/\.cjs$/, '.cache'));
  // ASCII: one byte a character.
  const script = new Script(readFileSync(file, 'latin1'), {
    // In stack traces; the same wherever it was built.
    filename: 'dist/bundle/main.cjs',
    cachedData,
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module, file);
  return { program: module.exports, script };
};

function readIfThere(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
