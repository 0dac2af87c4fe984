// The conformance flows of ../shared, in parts that may run side by side.
import { readFileSync, writeFileSync } from 'node:fs';

/**
 * What is sent: to a mode, with flags of penstock; `all`: also the flows that were written for another mode; `different`:
 * a pattern of those that are meant to end differently, with their number (docs/nftables.md and userspace.md list them).
 */
export const CONFORMANCE = [
  { name: 'iptables, backend nft', mode: 'iptables', flags: '--iptables-backend nft' },
  { name: 'iptables, backend legacy', mode: 'iptables', flags: '--iptables-backend legacy' },
  {
    name: 'nftables',
    mode: 'nftables',
    all: true,
    different: { pattern: /nodePort on secondary IP|localhost to nodePort is ignored: TCP ::1/, count: 5 },
  },
  {
    name: 'userspace',
    mode: 'userspace',
    flags: '--source-address transparent',
    all: true,
    different: { pattern: /localhost to nodePort is ignored: TCP ::1/, count: 1 },
  },
];
export const CONFORMANCE_IPVS = { name: 'ipvs', mode: 'ipvs', all: true };

/**
 * Files of some scenarios each, in a folder: [{ file, flows }]. The scenarios are dealt like cards, so that no file has all the long
 * ones.
 */
export function dealScenarios({ mode, all = false }, path, parts, prefix) {
  const scenarios = JSON.parse(readFileSync(path, 'utf8')).filter(({ modes }) => all || modes.includes(mode));
  return Array.from({ length: Math.min(parts, scenarios.length) }, (_, part) => {
    const chosen = scenarios.filter((_, i) => i % parts === part);
    const file = `${prefix}-${part + 1}.json`;
    writeFileSync(file, JSON.stringify(chosen));
    return { file, flows: chosen.reduce((n, { flows }) => n + flows.length, 0) };
  });
}

/**
 * The arguments of python3. `asIs`: the agent gives up no capabilities, since Node.js would start twice, and one start takes three
 * seconds in user-mode Linux; the tests of the machine (test/system/vm) look at an agent that does.
 */
export function runnerArguments({ mode, flags = '', all = false }, runner, file, { asIs = false } = {}) {
  const agent = `${asIs ? 'env PENSTOCK_REDUCED= ' : ''}penstock run --config "$CONFIG" --manifests "$MANIFESTS" ${flags}`;
  return [runner, '--scenarios', file, '--mode', mode, ...(all ? ['--all-scenarios'] : []), '--agent', agent];
}

/** What the runner printed: { passed, failed, meant, text }; undefined when it did not come to its end. */
export function readFlows({ different }, text) {
  const counts = /^(\d+) passed, (\d+) failed/m.exec(text);
  if (!counts) return undefined;
  const isMeant = (line) => line.startsWith('FAIL ') && different?.pattern.test(line);
  const meant = text.split('\n').filter(isMeant).length;
  const shown = text.split('\n').filter((line) => !isMeant(line));
  return { passed: Number(counts[1]), failed: Number(counts[2]) - meant, meant, text: shown.join('\n') };
}

/** What is wrong when another number of flows than is meant ended differently. */
export function checkMeant({ name, different }, meant) {
  const count = different?.count ?? 0;
  return meant === count ? undefined : `${name}: ${meant} flows end differently from mode iptables, ${count} are meant to`;
}
