// No list of any length as the arguments of push or unshift: some 120,000 of them overflow the stack, a RangeError in the middle of
// whatever is being done. append() of src/append.ts has no such bound. What is bounded by the program's own text is named below.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, readSources, report } from './lib/lint/sources.mjs';

const SPREAD = /\.(push|unshift)\(\s*\.\.\./g;

/** Files whose lists cannot grow with what comes from outside. An exception that covers nothing fails. */
const BOUNDED = [
  'src/kernel/nftables/features.ts: ', // probes of this program
  'src/kernel/nftables/statements.ts: ', // the parts of one key
  'src/kernel/nftables/fields.ts: ', // the parts of one key
  'src/dataplane/nftables/desired/ServiceChain.ts: ', // two rules that mark
  'src/config/file/validateConfiguration.ts: ', // the faults of a few fields
  'src/cli/see/selftest/insideNamespaces.ts: ', // the cells of one mode
  'src/cli/see/status.ts: ', // three tests
  'src/host/hostChecks.ts: ', // one check's findings
  'src/host/outOfReach.ts: ', // the parts of one path
  'src/host/privileges.ts: ', // names of capabilities
];

const faults = readSources('src').flatMap(({ path }) => {
  const text = readFileSync(join(ROOT, path), 'utf8');
  return [...text.matchAll(SPREAD)].map((found) => {
    const line = text.slice(0, found.index).split('\n').length;
    return `${path}: line ${line}: ${found[1]}(...list) overflows the stack when the list is long: use append()`;
  });
});
report(faults, BOUNDED);
