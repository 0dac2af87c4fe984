// Folders import downwards only (docs/architecture.md), no files in a circle, pure folders nothing from outside. Fails with
// file, line and what is allowed.
import { circlesOf } from './lib/lint/circles.mjs';
import { readNativeSources, readSources, report } from './lib/lint/sources.mjs';

/** Folder of src/ → the folders that it may import from, besides itself. Files of src/ itself: '.'. */
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
  agent: [...PURE, 'kernel', 'config', 'kubernetes', 'dataplane', 'explain', 'compare', 'balancer', 'observe', 'host', 'modes'],
  cli: [...PURE, 'kernel', 'config', 'kubernetes', 'dataplane', 'explain', 'compare', 'balancer', 'observe', 'host', 'modes', 'agent'],
  '.': ['cli', 'net'],
};

/** These know neither Node nor packages: the same everywhere, and each test of theirs is a function call. */
const NOTHING_FROM_OUTSIDE = [...PURE, 'explain'];

/** Within src/kernel/, from the ground up: addon; netlink, above it the protocols, each for itself; the rest is on the ground. */
const KERNEL = {
  addon: [],
  netlink: ['addon'],
  sysctl: ['host'],
  host: ['addon'],
  nftables: ['netlink'],
  conntrack: ['netlink'],
  ipset: ['netlink'],
  ipvs: ['netlink'],
  nfacct: ['netlink'],
  nflog: ['netlink'],
  routes: ['netlink'],
  // Asks nf_tables which chains iptables-nft made.
  xtables: ['addon', 'netlink', 'nftables'],
};

/** Within src/dataplane/: modes do not import each other; what they share lies below them. */
const SHARED_BY_MODES = ['.', 'family', 'localhost', 'conntrack', 'failures', 'choice', 'wake'];
const MODES = ['nftables', 'iptables', 'ipvs', 'userspace'];

/**
 * Within native/, from the ground up. What the proxy and first packets need (service, engine, choice, hold) knows no JavaScript:
 * the classes of the addon are above them, in native/ itself. `announce` has its own classes, and the addon's helpers for them.
 */
const NATIVE = {
  service: [],
  engine: ['lookup', 'service'],
  choice: ['service'],
  hold: ['service', 'choice'],
  announce: ['service'],
  watchdog: ['choice'],
  sanitize: ['engine'],
  '.': ['service', 'engine', 'choice', 'hold', 'announce'],
};
const NATIVE_GROUND = ['native/unique_fd.h'];
const NATIVE_CLASSES = ['native/napi_class.h', 'native/napi_support.h', 'native/notifier.h'];

/** Where faults are known and somebody is at it. An exception that covers nothing fails. */
const EXCEPTIONS = [
  // Console: node:net for the form of an address.
  'src/explain/addresses.ts',
];

const sources = readSources('src', 'test', 'bench', 'examples');
const faults = [];

for (const { path, imports } of sources) {
  for (const { target, line } of imports) {
    const wrong = path.startsWith('src/') ? wrongInSource(path, target) : wrongElsewhere(path, target);
    if (wrong !== undefined) faults.push(`${path}:${line}: ${wrong}`);
  }
}
const native = readNativeSources();
for (const { path, imports } of native) {
  for (const { target, line } of imports) {
    const wrong = wrongInNative(path, target);
    if (wrong !== undefined) faults.push(`${path}:${line}: ${wrong}`);
  }
}
const graph = new Map([...sources, ...native].map(({ path, imports }) => [path, imports.map(({ target }) => target)]));
for (const circle of circlesOf(graph)) faults.push(`these files import each other in a circle: ${circle.join(', ')}`);
report(faults, EXCEPTIONS);

function wrongInSource(path, target) {
  const [from, room] = roomsOf(path);
  if (!target.startsWith('src/')) {
    if (/^(test|bench|scripts|dist)\//.test(target)) return `src/ must not import from ${target}`;
    return NOTHING_FROM_OUTSIDE.includes(from) ? `${from}/ is pure: it must not import ${target}` : undefined;
  }
  if (['src/errors.ts', 'src/append.ts', 'src/readAtMost.ts'].includes(target)) return undefined;
  const [to, other] = roomsOf(target);
  if (to !== from) {
    return ALLOWED[from]?.includes(to)
      ? undefined
      : `${from}/ must not import from ${to}/ (allowed: ${ALLOWED[from]?.join(', ') || 'nothing'})`;
  }
  if (room === other) return undefined;
  if (from === 'kernel' && !KERNEL[room]?.includes(other)) {
    return `kernel/${room}/ must not import from kernel/${other}/ (allowed: ${KERNEL[room]?.join(', ') || 'nothing'})`;
  }
  if (from !== 'dataplane') return undefined;
  if (MODES.includes(other)) {
    return MODES.includes(room) ? 'modes must not import each other' : `dataplane/${room}/ is below the modes: it must not import them`;
  }
  if (!SHARED_BY_MODES.includes(other)) return `dataplane/${other}/ is unknown to scripts/lint-imports.mjs`;
  return undefined;
}

function wrongInNative(path, target) {
  const [from] = roomsOf(path);
  const [to] = roomsOf(target);
  if (to === from || NATIVE[from]?.includes(to) || NATIVE_GROUND.includes(target)) return undefined;
  if (from === 'announce' && NATIVE_CLASSES.includes(target)) return undefined;
  return `native/${from}/ must not include ${target} (allowed: ${NATIVE[from]?.join(', ') || 'nothing'})`;
}

/** test/ and bench/ may use src/; a bench uses test/support at most, and nothing imports a test. */
function wrongElsewhere(path, target) {
  if (path.startsWith('bench/')) {
    return target.startsWith('test/') && !target.startsWith('test/support/') ? 'a bench may import test/support/ only' : undefined;
  }
  if (/\.test\.ts$/.test(target)) return 'a test must not import another test';
  return undefined;
}

/** `src/dataplane/iptables/plan/x.ts` → ['dataplane', 'iptables']; `src/dataplane/x.ts` → ['dataplane', '.']; `src/x.ts` → ['.', '.']. */
function roomsOf(path) {
  const [, ...parts] = path.split('/').slice(0, -1);
  return [parts[0] ?? '.', parts[1] ?? '.'];
}
