// No two exported classes or types of one name, unless they are the same in two modes (src/dataplane/MODE) or two protocols
// (src/kernel/PROTOCOL). Tests of test/unit are where what they test is.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT, readSources, report } from './lib/lint/sources.mjs';

const KINDS = ['class', 'interface', 'type'];

/** Where faults are known and somebody is at it. An exception that covers nothing fails. */
const EXCEPTIONS = [
  ...['Pick', 'TableRules', 'RulePackets', 'NodePortAddresses', 'SavedTables', 'WantedSysctl'],
  ...['Verdict', 'Destination', 'EndpointSets', 'Comparison', 'Rule', 'SavedRules'],
].map((name) => `${name} is the name`);

const faults = [];
const places = new Map();
for (const { path, exports } of readSources('src')) {
  for (const { kind, name } of exports) {
    if (KINDS.includes(kind)) places.set(name, [...(places.get(name) ?? []), path]);
  }
}
for (const [name, paths] of places) {
  const rooms = new Set(paths.map((path) => /^src\/(?:dataplane|kernel)\/\w+\//.exec(path)?.[0] ?? path));
  const tops = new Set(paths.map((path) => /^src\/(dataplane|kernel)\/\w+\//.exec(path)?.[1] ?? path));
  const isParallel = tops.size === 1 && rooms.size === paths.length;
  if (paths.length > 1 && !isParallel) faults.push(`${name} is the name of several things: ${paths.join(', ')}`);
}

/** Folders of test/unit that test no code of src/. */
const NOT_OF_SRC = ['deploy', 'examples'];
for (const { path } of readSources('test/unit')) {
  const [, , top] = path.split('/');
  const mirrored = dirname(path).replace('test/unit', 'src');
  if (!NOT_OF_SRC.includes(top) && !existsSync(join(ROOT, mirrored))) faults.push(`${path}: there is no ${mirrored}/`);
}
report(faults, EXCEPTIONS);
