/** Changes of the configuration that come at any moment: none is lost, also while the agent starts anew. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { thisHost } from '../../../../src/agent/NodeHost.js';
import { ConfigReload } from '../../../../src/agent/reload/ConfigReload.js';
import type { Run } from '../../../../src/config/flags/parseRunCommand.js';
import { Sysctls } from '../../../../src/kernel/sysctl/Sysctls.js';
import { runFile } from '../../config/runCommand.js';

const QUIET = 'conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}\n';
const A = 'mode: nftables\n';
const B = 'mode: nftables\nclusterCIDR: 10.0.0.0/9\n';
const C = 'mode: nftables\nclusterCIDR: 10.0.0.0/10\n';
const LOUD = 'logging: {verbosity: 4}\n';

/** A file that is read when the test says so. */
function world(t: Test, text: string) {
  const folder = t.testdir({ 'proxy.yaml': '', state: {}, sys: {} });
  const file = join(folder, 'proxy.yaml');
  let present = text;
  const parse = (): Run => {
    const run = runFile(`${QUIET}${present}`);
    return { ...run, options: { ...run.options, configFile: file } };
  };
  const said: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void said.push(JSON.parse(line).msg) });
  const run = parse();
  const sysctls = new Sysctls(join(folder, 'state'), join(folder, 'sys'));
  const reload = new ConfigReload({ run, parse, host: { ...thisHost(), sysctls }, log });
  t.teardown(() => reload.close());
  const change = (to: string) => {
    present = to;
    writeFileSync(file, to);
    reload.readAgain('told');
  };
  return { run, reload, log, said, change };
}

const cidrsOf = (run: Run | undefined) => run?.source.clusterCIDR;

/** What is wanted now; undefined: the agent goes on. */
async function wanted(next: Promise<Run>): Promise<Run | undefined> {
  return Promise.race([next, new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))]);
}

t.test('a change that is taken back while the agent starts with it', async (t) => {
  const { run, reload, change } = world(t, A);
  const first = reload.next(run);
  change(B);
  const toB = (await wanted(first)) as Run;
  t.equal(cidrsOf(toB), '10.0.0.0/9');
  change(A);
  const back = await wanted(reload.next(toB));
  t.ok(back, 'it starts anew once more');
  t.equal(cidrsOf(back), '');
  t.equal(await wanted(reload.next(back as Run)), undefined, 'and that was all');
});

t.test('changes while the first start is under way, and two in a row', async (t) => {
  const { run, reload, change } = world(t, A);
  change(B);
  const toB = (await wanted(reload.next(run))) as Run;
  t.equal(cidrsOf(toB), '10.0.0.0/9');
  change(A);
  change(C);
  t.equal(cidrsOf(await wanted(reload.next(toB))), '10.0.0.0/10');
});

t.test('one that cannot be served is tried once, not for ever; the next change counts', async (t) => {
  const { run, reload, change } = world(t, A);
  const first = reload.next(run);
  change(B);
  await wanted(first);
  t.equal(reload.back(), run, 'B cannot be served');
  const again = reload.next(run);
  t.equal(await wanted(again), undefined);
  change(C);
  const toC = (await wanted(again)) as Run;
  t.equal(cidrsOf(toC), '10.0.0.0/10');
  // Taken back while C fails.
  change(A);
  t.equal(reload.back(), run);
  t.equal(await wanted(reload.next(run)), undefined, 'A is what there is');
});

t.test('verbosity follows: alone, with other fields, while the agent starts, and back', async (t) => {
  const { run, reload, log, change, said } = world(t, A);
  const first = reload.next(run);
  change(`${B}${LOUD}`);
  t.equal(log.level, 'debug', 'together with a field that starts the agent anew');
  const toB = (await wanted(first)) as Run;
  change(B);
  const second = reload.next(toB);
  t.equal(await wanted(second), undefined);
  t.equal(log.level, 'info', 'changed while the agent started');
  change(`${B}${LOUD}`);
  t.equal(log.level, 'debug', 'alone');
  t.match(said.at(-1), 'changed: logging.verbosity; in force');
  change(`${C}${LOUD}`);
  t.equal(cidrsOf(await wanted(second)), '10.0.0.0/10');
  // C cannot be served: what comes back is B as it was in force, with its new verbosity.
  const before = reload.back();
  t.equal(cidrsOf(before), '10.0.0.0/9');
  t.equal(before.config.logging.verbosity, 4);
  t.equal(await wanted(reload.next(before)), undefined);
  t.equal(log.level, 'debug');
});
