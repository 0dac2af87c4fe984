'use strict';
// The program from one file (scripts/bundle.mjs), with what V8 made of it when it was built: its functions need no compiling.
// A command reads the parts that it needs, and no others. The file stays open: an agent stays whole while another version is
// installed over it, and needs no further descriptor for a part that it loads late.
const { fstatSync, openSync, readSync } = require('node:fs');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');
const { crc32 } = require('node:zlib');

const MARK = 'pnst';
const HEAD_BYTES = 12;
/** Where a cache of V8 says with which flags it was made. */
const HASH_OF_FLAGS = 12;
const UNLIMITED = { look: () => {}, natively: (load) => load };
/** Most parts, and what V8 made of them, are shorter. */
const SCRATCH_BYTES = 1 << 17;

/**
 * `file`: as pack() makes it. Returns `load(name)`, which gives what a part exports, and `names()` of all parts. `onScript` hears of each
 * part that is loaded, by name. `young`: of limitYoung.js. V8 takes a cache only from its own version with the same flags, and compiles
 * where it is not so; what it makes is the same with each of the flags that bin/penstock gives and that the program itself sets later
 * (src/host/heap.ts, src/kubernetes/http/ApiClient.ts), so the hash of those that this process has is put into it. V8 believes a cache:
 * one with a wrong bit, after a power cut, would end the process at every start. So each part has its checksums.
 * Throws what the file system says, and where the file is damaged.
 */
exports.openBundle = (file, onScript = () => {}, young = UNLIMITED) => {
  const fd = openSync(file, 'r');
  const { size } = fstatSync(fd);
  let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  const head = Buffer.from(read(HEAD_BYTES, 0));
  const index = read(head.readUInt32LE(4), HEAD_BYTES);
  if (head.latin1Slice(0, 4) !== MARK || head.readUInt32LE(8) !== crc32(index)) throw damaged();
  const { flags, parts } = JSON.parse(index.latin1Slice());
  let hashOfFlags = flags[process.execArgv.join(' ')];
  // V8 took a cache with it.
  let isBelieved = false;
  const begin = HEAD_BYTES + index.length;
  const native = young.natively(createRequire(file));
  const url = pathToFileURL(file).href;
  const modules = new Map();

  const load = (name) => {
    const known = modules.get(name);
    if (known !== undefined) return known.exports;
    const { at, length, check, cacheLength, cacheCheck } = parts[name];
    const bytes = read(length, begin + at);
    if (crc32(bytes) !== check) throw damaged();
    const text = bytes.latin1Slice();
    const cache = cacheLength > 0 ? read(cacheLength, begin + at + length) : undefined;
    const isWhole = cache !== undefined && crc32(cache) === cacheCheck;
    if (isWhole && hashOfFlags !== undefined) cache.writeUInt32LE(hashOfFlags, HASH_OF_FLAGS);
    // Not before the first part: one that was believed tells that a later rejection is because of a flag that look() or the program set.
    if (modules.size > 0) young.look();
    const options = {
      // In stack traces; the same wherever it was built.
      filename: `dist/bundle/${name}`,
      cachedData: isWhole ? cache : undefined,
    };
    let script = new Script(text, options);
    if (script.cachedDataRejected && isBelieved) {
      // The program has set a flag since.
      hashOfFlags = hashOfFlagsIn(new Script('').createCachedData());
      cache.writeUInt32LE(hashOfFlags, HASH_OF_FLAGS);
      script = new Script(text, options);
    }
    isBelieved ||= script.cachedDataRejected === false;
    onScript(name, script);
    const module = { exports: {} };
    modules.set(name, module);
    const within = (wanted) => (wanted.startsWith('./') ? load(wanted.slice(2)) : native(wanted));
    try {
      script.runInThisContext()(module.exports, within, module, url);
    } catch (error) {
      // Whoever asks again must not get half of it.
      modules.delete(name);
      throw error;
    }
    return module.exports;
  };

  /** Into the same memory each time: V8 has copied what it needs when the next part is read. */
  function read(length, position) {
    if (position + length > size) throw damaged();
    if (length > scratch.length) scratch = Buffer.allocUnsafeSlow(length);
    const bytes = scratch.subarray(0, length);
    if (readSync(fd, bytes, 0, length, position) !== length) throw damaged();
    return bytes;
  }

  function damaged() {
    return new Error(`${file} is damaged, or was overwritten while the program ran\n→ Install penstock again, then start it again.`);
  }
  return { load, names: () => Object.keys(parts) };
};

/** The hash of V8's flags in a cache of V8. */
function hashOfFlagsIn(cache) {
  return cache.readUInt32LE(HASH_OF_FLAGS);
}
exports.hashOfFlagsIn = hashOfFlagsIn;

/**
 * Parts by name, each `{ text, cache }`, as one file: a head (mark, length and sum of the index), the index, texts and caches. `flags`: V8's
 * hash of each set of flags that the program is started with (`--a --b`).
 */
exports.pack = (parts, flags = {}) => {
  const index = {};
  const bodies = [];
  let at = 0;
  for (const [name, { text, cache = Buffer.alloc(0) }] of parts) {
    const bytes = Buffer.from(text, 'latin1');
    index[name] = { at, length: bytes.length, check: crc32(bytes), cacheLength: cache.length, cacheCheck: crc32(cache) };
    bodies.push(bytes, cache);
    at += bytes.length + cache.length;
  }
  const list = Buffer.from(JSON.stringify({ flags, parts: index }));
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MARK, 'latin1');
  head.writeUInt32LE(list.length, 4);
  head.writeUInt32LE(crc32(list), 8);
  return Buffer.concat([head, list, ...bodies]);
};
