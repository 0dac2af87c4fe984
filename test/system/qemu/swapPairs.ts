/**
 * Each pair of penstock and kube-proxy where one is in mode nftables and the other in mode ipvs, in every order, under traffic. Only a
 * whole kernel has both, so this needs qemu and minutes, and is no part of scripts/test: `./scripts/vm-pairs` runs it.
 */
import t from 'tap';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { type OursInPair, PAIR_PODS, swapPair } from '../../support/swapPair.js';

/** Milliseconds for one pair. Each instruction is emulated. */
const LIMIT_MS = 1_500_000;

t.setTimeout(2 * LIMIT_MS);
const server = await serveOnLoopback(PAIR_PODS);
t.teardown(() => server.close());

const PAIRS: readonly (readonly [OursInPair, string])[] = [
  ['nftables', 'ipvs'],
  ['ipvs', 'nftables'],
];
for (const [ours, stock] of PAIRS) {
  t.test(`penstock in mode ${ours} and kube-proxy in mode ${stock}`, async (t) => {
    t.setTimeout(LIMIT_MS);
    await swapPair(t, ours);
  });
}
