/** A Service with no process at all: a connection has systemd start its unit, and without connections the unit is stopped again. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { metric } from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
import { Client, Endpoint, POD, prepareNode } from '../../support/wakeWorld.js';

const VIP = '192.0.2.40';

function web(unit: string, vip = VIP): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: unit,
      namespace: 'shop',
      annotations: {
        'penstock.io/wake': 'hold',
        'penstock.io/wake-target': `unit/${unit}`,
        'penstock.io/idle-after': '2s',
        'penstock.io/endpoints': `${POD.IPv4}:8080`,
        'penstock.io/health-check': 'tcp',
        'penstock.io/health-check-interval': '200ms',
        'penstock.io/health-check-rise': '1',
        'penstock.io/health-check-fall': '1',
      },
    },
    spec: { externalIPs: [vip], ports: [{ port: 80 }] },
  };
}

if (await inNetns(import.meta.url)) {
  const side = prepareNode();
  t.teardown(() => side.close());
  // Whoever takes jobs in the place of systemd, which no network namespace has of its own.
  const folder = mkdtempSync(join(tmpdir(), 'penstock-systemctl-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const jobs = join(folder, 'jobs');
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(jobs, '');
  writeFileSync(join(bin, 'systemctl'), `#!/bin/sh\necho "$@" >>${jobs}\n`);
  chmodSync(join(bin, 'systemctl'), 0o755);
  const done = () => readFileSync(jobs, 'utf8').split('\n').slice(0, -1);
  process.env.PATH = `${bin}:${process.env.PATH}`;

  const agent = new AgentProcess(
    'mode: nftables\nmetricsBindAddress: 127.0.0.1:10249\npenstock: {wake: {units: [web]}}\n',
  );
  t.teardown(() => agent[Symbol.asyncDispose]());
  const client = await Client.start(side);
  t.teardown(() => client[Symbol.asyncDispose]());
  const endpoint = new Endpoint();
  t.teardown(() => endpoint.close());
  const isAsleep = () => eventually(async () => (await metric('penstock_wake_asleep')) === 1);

  t.test('started by a connection, stopped without any', async (t) => {
    agent.write('web.json', [web('web')]);
    agent.start();
    await agent.ready();
    t.ok(await isAsleep(), 'nobody listens');
    const waits = client.connect(VIP);
    t.ok(await eventually(() => done().length > 0));
    t.strictSame(done(), ['--no-ask-password --no-block start -- web.service'], 'one job, and no other');
    await endpoint.open();
    t.equal((await waits)[0]?.[0], 'hello');
    t.ok(await eventually(() => done().length > 1), 'without connections it may sleep');
    t.equal(done()[1], '--no-ask-password --no-block stop -- web.service');
    endpoint.close();
    t.ok(await isAsleep(), 'and sleeps');
  });

  t.test('an annotation alone starts nothing', async (t) => {
    agent.write('web.json', [web('web'), web('passwords', '192.0.2.41')]);
    t.ok(await eventually(async () => (await metric('penstock_wake_asleep')) === 2));
    const before = done().length;
    const [[outcome = ''] = []] = await client.connect('192.0.2.41', { limit: 2000 });
    t.equal(outcome, 'gave up');
    t.ok(await eventually(() => /passwords\.service is not to be started/.test(agent.output)));
    t.equal(done().length, before);
  });
}
