/**
 * The conformance flows of ../shared with an algorithm that counts for every Service: first packets come by the queue, and end as without.
 * A few scenarios of each kind; all of them: CHOICE_FLOWS=all, some minutes.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { needsShared, readShared, sharedPath } from '../../support/shared.js';

t.setTimeout(1_200_000);

interface Scenario {
  readonly name: string;
  readonly config: { readonly extra?: readonly string[] };
}

/** Policies, masquerading, node ports of both families: each with several endpoints. */
const SOME = /(InternalExternalMasquerade\/base|NodePorts\/ipv6|TrafficPolicyLocal)$/;
const IS_ALL = process.env.CHOICE_FLOWS === 'all';
/** Meant to end otherwise than in mode iptables, with and without a queue (docs/nftables.md). */
const MEANT = /^FAIL .*(nodePort on secondary IP|localhost to nodePort is ignored: TCP ::1)/;

const folder = mkdtempSync(join(tmpdir(), 'penstock-choice-flows-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** What the runner prints, and how many first packets were decided. */
async function send(mode: string, backend: string): Promise<{ text: string; decided: number }> {
  const all = JSON.parse(readShared('conformance/flows.json')) as readonly Scenario[];
  const wanted = all.filter(({ name }) => name.startsWith(`${mode}/`) && (IS_ALL || SOME.test(name)));
  const scenarios = join(folder, `${mode}.json`);
  const counts = join(folder, `${mode}-decided`);
  const extra = ['penstock: {algorithm: least-connections}'];
  writeFileSync(
    scenarios,
    JSON.stringify(wanted.map((each) => ({ ...each, config: { ...each.config, extra } }))),
  );
  writeFileSync(counts, '');
  // The agent is asked when it is told to end: it goes on until it has answered.
  const agent = join(folder, 'agent');
  writeFileSync(
    agent,
    `#!/bin/bash
setsid ${PENSTOCK} run --config "$CONFIG" --manifests "$MANIFESTS" ${backend} & pid=$!
trap 'curl -s http://127.0.0.1:10249/metrics | grep ^penstock_choice_decided_total >>${counts}; kill $pid' TERM
wait $pid; wait $pid\n`,
    { mode: 0o755 },
  );
  const runner = sharedPath('conformance/run.py');
  const words = ['python3', runner, '--scenarios', scenarios, '--mode', mode, '--agent', agent];
  const run = promisify(execFile)(fileURLToPath(fromRoot('scripts/lib/private-world')), words, {
    maxBuffer: 1 << 26,
  });
  const { stdout } = await run.catch((error: { stdout: string }) => error);
  const decided = [...readFileSync(counts, 'utf8').matchAll(/ (\d+)$/gm)].map(([, count]) => Number(count));
  return { text: stdout, decided: decided.reduce((sum, each) => sum + each, 0) };
}

for (const [mode, backend] of [
  ['nftables', ''],
  ['iptables', '--iptables-backend nft'],
] as const) {
  t.test(`mode ${mode}`, needsShared, async (t) => {
    const { text, decided } = await send(mode, backend);
    const [, passed = 0, failed = -1] = /^(\d+) passed, (\d+) failed/m.exec(text) ?? [];
    const wrong = text.split('\n').filter((line) => line.startsWith('FAIL ') && !MEANT.test(line));
    t.strictSame(wrong, []);
    t.ok(Number(passed) > 30 && Number(failed) >= 0, `${passed} flows as without a queue`);
    t.ok(decided > 100, `${decided} first packets were decided in user space`);
  });
}
