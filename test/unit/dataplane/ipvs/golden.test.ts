/**
 * What penstock writes in mode ipvs for the objects that stock kube-proxy 1.36.2 was recorded with is what stock left in
 * the kernel, but for the differences that test/support/goldenIpvs.ts names.
 */
import t from 'tap';
import { renderFamily } from '../../../../src/dataplane/ipvs/renderFamily.js';
import { IP_FAMILIES } from '../../../../src/net/ip.js';
import { ip } from '../../../support/builders.js';
import {
  asStock,
  chainsOf,
  IPVS_GOLDEN_OPTIONS,
  stockAddresses,
  stockRules,
  stockServers,
  stockSets,
  withoutOwnLines,
} from '../../../support/goldenIpvs.js';
import { goldenTable } from '../../../support/goldenTable.js';
import { needsShared } from '../../../support/shared.js';

const HOST = [ip('10.200.0.10'), ip('fd00:200::10')];

t.test('for the recorded objects', needsShared, async (t) => {
  const table = goldenTable();
  table.commit();
  const rendered = IP_FAMILIES.map((family) => renderFamily(family, table, IPVS_GOLDEN_OPTIONS, HOST));
  const lines = (part: 'servers' | 'sets' | 'addresses') =>
    rendered.flatMap((each) => each[part].split('\n').filter(Boolean));

  t.strictSame(withoutOwnLines(lines('servers')), stockServers());
  t.strictSame(withoutOwnLines(lines('sets')), stockSets());
  const bound = lines('addresses').flatMap((line) => /^addr add (\S+) dev kube-ipvs0$/.exec(line)?.[1] ?? []);
  t.strictSame(bound.sort(), stockAddresses());

  const full = new Set(lines('sets').flatMap((line) => /^add (\S+)/.exec(line)?.[1] ?? []));
  const empty = new Set(
    lines('sets').flatMap((line) => {
      const name = /^create (\S+)/.exec(line)?.[1];
      return name === undefined || full.has(name) ? [] : [name];
    }),
  );
  IP_FAMILIES.forEach((family, i) => {
    const ours = asStock(chainsOf(rendered[i]?.rules ?? ''), empty);
    const stock = stockRules(family);
    t.strictSame([...ours.keys()].sort(), [...stock.keys()].sort(), family);
    for (const [chain, rules] of stock) t.strictSame(ours.get(chain), rules, `${family} ${chain}`);
  });
});
