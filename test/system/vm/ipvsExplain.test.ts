/**
 * What explain says is what the kernel does in mode ipvs: random objects, random packets, real connections in a virtual machine.
 * PENSTOCK_PAIRS=1000 sends more than here, PENSTOCK_SEED=7 others. This seed has external policy Local with session affinity.
 */
import t from 'tap';
import { askedPairs, comparePairs } from '../../support/explainPairs.js';
import { inVm } from '../../support/inVm.js';
import { LIMIT_MS } from '../../support/ipvsAgent.js';
import { PacketWorld } from '../../support/packetWorld.js';

const asked = askedPairs(30);
/** Packets of a set are sent at once, and each takes several processes of a slow machine. */
const PATIENCE_MS = 3000;

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const wire = await PacketWorld.open();
  t.teardown(() => wire.close());
  t.test('explain equals the kernel in mode ipvs', { timeout: LIMIT_MS }, (t) =>
    comparePairs(t, wire, 'ipvs', { ...asked, patienceMs: PATIENCE_MS }),
  );
}
