/** An attempt that fails after the endpoint was given bytes: the client learns of it, and nobody gets the rest. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { shopObjects } from '../../support/shopObjects.js';
import { call, makeUserspaceWorld, serve, VIP } from '../../support/userspaceWorld.js';

const PODS = ['10.2.0.1', '10.2.0.2', '10.2.0.3'];

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld(PODS);
  const folder = mkdtempSync(join(tmpdir(), 'penstock-test-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const library = join(folder, 'refuseWatching.so');
  execFileSync('cc', [
    '-shared',
    '-fPIC',
    '-o',
    library,
    fileURLToPath(fromRoot('test/support/refuseWatching.c')),
  ]);
  await using agent = new AgentProcess('mode: userspace\n');
  // Endpoints of this node are given what there is before they are waited for; with a header there always is something.
  const annotations = { 'penstock.io/proxy-protocol': 'v1' };
  agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: PODS, annotations }));
  agent.start(['env', `LD_PRELOAD=${library}`]);
  await agent.ready();

  let called = 0;
  const servers = await Promise.all(PODS.map((pod) => serve(pod, () => called++)));
  t.teardown(() => {
    for (const server of servers) server.close();
  });

  await t.test('the endpoint has the beginning, and cannot be watched', async (t) => {
    for (let i = 0; i < 10; i++) {
      called = 0;
      const { text } = await call();
      await sleep(50);
      t.equal(text, 'ECONNRESET', 'the client is told');
      t.equal(called, 1, 'nobody else is called');
    }
  });
}
