'use strict';
// The program from one file (scripts/bundle.mjs), with what V8 made of it when it was built: its functions need no compiling.
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { Script } = require('node:vm');

const DIGEST_BYTES = 32;

/**
 * `file`: main.cjs; beside it main.cache, as sealed() makes it. V8 takes a cache only from its own version with the same flags,
 * and compiles where it is not so. Returns what the program exports, and the script.
 */
exports.loadBundle = (file) => {
  const text = readFileSync(file);
  const script = new Script(text.latin1Slice(), {
    // In stack traces; the same wherever it was built.
    filename: 'dist/bundle/main.cjs',
    cachedData: unsealed(text, readIfThere(file.replace(/\.cjs$/, '.cache'))),
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module, file);
  return { program: module.exports, script };
};

/** V8 believes a cache: one with a wrong bit, after a power cut, would end the process at every start. So a digest comes first. */
exports.sealed = (text, cache) => Buffer.concat([digest(text, cache), cache]);

/** Undefined when it is damaged, or belongs to another text. */
function unsealed(text, bytes) {
  const cache = bytes?.subarray(DIGEST_BYTES);
  return cache && digest(text, cache).equals(bytes.subarray(0, DIGEST_BYTES)) ? cache : undefined;
}

function digest(text, cache) {
  return createHash('sha256').update(text).update(cache).digest();
}

function readIfThere(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
