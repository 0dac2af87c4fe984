/** Rules that others change while a sync is under way, or while syncs fail, are seen all the same. */

import t from 'tap';
import { UNHEARD } from '../../../../src/dataplane/Dataplane.js';
import { IpvsDataplane } from '../../../../src/dataplane/ipvs/IpvsDataplane.js';
import { ipvsOptions } from '../../../../src/modes/ipvsMode.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { endpoint, ip, service, slice, tableOf, upsert } from '../../../support/builders.js';
import { ModelIpvs } from '../../../support/ModelIpvs.js';
import { runFile } from '../../config/runCommand.js';

function world() {
  const kernel = new ModelIpvs('IPv4');
  const dataplane = new IpvsDataplane(
    ipvsOptions(runFile('mode: ipvs').config),
    {
      description: 'IPVS',
      kernels: [kernel],
      addresses: () => [ip('192.168.0.2')],
      randomFully: true,
      localhostPorts: () => ({}),
      rulesState: async () => String(kernel.xtables.commits),
      close: async () => {},
      clock: { ...systemClock, now: () => 0 },
    },
    UNHEARD,
  );
  const table = tableOf([service(), slice([endpoint('10.1.0.1')])]);
  const sync = () => dataplane.sync(table, table.commit());
  /** As an administrator, or a script. */
  const spoil = () => kernel.xtables.write('*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n');
  const isWhole = () => (kernel.xtables.dump()['nat KUBE-SERVICES']?.length ?? 0) > 0;
  t.teardown(() => dataplane.close());
  return { kernel, dataplane, table, sync, spoil, isWhole };
}

t.test('somebody flushes a chain right after it was written, before the sync ends', async (t) => {
  const { kernel, dataplane, sync, spoil, isWhole } = world();
  const writeRules = kernel.writeRules.bind(kernel);
  kernel.writeRules = async (input) => {
    await writeRules(input);
    spoil();
  };
  await sync();
  kernel.writeRules = writeRules;
  t.match(await dataplane.verify(), /KUBE-SERVICES/);
  await sync();
  t.ok(isWhole());
  t.equal(await dataplane.verify(), undefined);
});

t.test('somebody flushes a chain while syncs fail', async (t) => {
  const { kernel, dataplane, table, sync, spoil, isWhole } = world();
  await sync();
  t.equal(await dataplane.verify(), undefined);
  table.apply([upsert(service({ name: 'till', clusterIPs: { IPv4: ip('10.96.0.11') } }))]);
  kernel.failsAfter = 0;
  await t.rejects(sync());
  spoil();
  t.equal(await dataplane.verify(), undefined, 'nothing is known yet');
  kernel.failsAfter = undefined;
  await sync();
  if (!isWhole()) {
    t.match(await dataplane.verify(), /KUBE-SERVICES/);
    await sync();
  }
  t.ok(isWhole());
});
