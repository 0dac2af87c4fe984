/**
 * What explain says is what the kernel does: random objects, random packets, three modes, real connections. CI sends a few
 * hundred a mode; PENSTOCK_PAIRS=10000 as many as that, PENSTOCK_SEED=7 others, PENSTOCK_MODES=nftables,userspace in these modes only.
 * Mode ipvs: test/system/vm/ipvsExplain.test.ts.
 */
import t from 'tap';
import type { Mode } from '../../../src/explain/World.js';
import { askedPairs, comparePairs } from '../../support/explainPairs.js';
import { inNetns } from '../../support/inNetns.js';
import { PacketWorld } from '../../support/packetWorld.js';

const MODES = (process.env.PENSTOCK_MODES ?? 'nftables,iptables,userspace').split(',') as Mode[];
const asked = askedPairs(240);

if (await inNetns(import.meta.url)) {
  const wire = await PacketWorld.open();
  t.teardown(() => wire.close());
  for (const mode of MODES)
    t.test(`explain equals the kernel in mode ${mode}`, { timeout: 1_200_000 + asked.pairs * 500 }, (t) =>
      comparePairs(t, wire, mode, asked),
    );
}
