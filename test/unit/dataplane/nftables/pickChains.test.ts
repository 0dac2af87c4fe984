/** The kernel works for each chain and each rule that looks into the map of endpoints, as often as the map has room or elements. */
import t from 'tap';
import {
  COMMON_COUNTS,
  type Draw,
  drawChains,
} from '../../../../src/dataplane/nftables/desired/pickChains.js';
import { roomFor } from '../../../../src/dataplane/nftables/desired/sets.js';
import type { ChainSpec } from '../../../../src/kernel/nftables/Transaction.js';

const words = ({ rules }: ChainSpec) =>
  rules.map((rule) => rule.map(({ text }) => text).join(' ')).join('\n');

const DRAW: Draw = { space: 'vip', from: 'own', algorithm: 'random' };

t.test('few chains look into the map, with few rules', async (t) => {
  const looking = drawChains(DRAW, COMMON_COUNTS, 'IPv4').map(
    (chain) => words(chain).match(/@endpoints/g)?.length ?? 0,
  );
  t.equal(looking.filter((rules) => rules > 0).length, 6);
  t.equal(
    looking.reduce((sum, rules) => sum + rules, 0),
    14,
  );
});

t.test('every index is drawn from, and the lower half at last', async (t) => {
  const chains = new Map(drawChains(DRAW, [1, 2, 16], 'IPv4').map((chain) => [chain.name, words(chain)]));
  t.same([...chains.keys()], ['endpoints', 'endpoints-half', 'endpoints-16-once', 'endpoints-16']);
  t.match(
    chains.get('endpoints'),
    /mod 1 offset 1 map[\s\S]*mod 2 offset 2 map[\s\S]*mod 1 offset 16 @endpoints goto endpoints-16/,
  );
  t.match(chains.get('endpoints-16-once'), /mod 16 offset 16 map/);
  t.equal(chains.get('endpoints-16')?.match(/jump endpoints-16-once/g)?.length, 8);
  t.match(chains.get('endpoints-16'), /goto endpoints-half$/);
  t.match(chains.get('endpoints-half'), /mod 8 offset 16 map[\s\S]*goto refuse$/);
});

t.test('the room of a set makes no more buckets than it must', async (t) => {
  for (const elements of [0, 1, 8192, 8193, 100_000, 131_072, 1_000_000]) {
    const size = roomFor(elements);
    t.ok(size >= elements * 1.5 && (size <= elements * 3 || size === 12_288), `${elements}: ${size}`);
    // nft_hash_buckets(): a power of two from four thirds of the size.
    t.equal(Math.log2((size * 4) / 3) % 1, 0, `${size} is all of a power of two`);
  }
});
