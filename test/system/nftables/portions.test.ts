/** A table that is written in several transactions is the one that a full look wants: an agent that adopts it changes nothing. */
import t from 'tap';
import type { Service } from '../../../src/objects/Service.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { openDataplane } from '../../support/nftablesWorld.js';

const SERVICES = 500;
const ENDPOINTS = 64;

const KINDS: readonly ((n: number) => Partial<Service>)[] = [
  () => ({}),
  (n) => ({ type: 'NodePort', ports: [port({ nodePort: 30_000 + n })] }),
  (n) => ({ externalIPs: [ip(`198.51.${n >> 8}.${n & 255}`)], externalTrafficPolicy: 'Local' }),
  (n) => ({ affinitySeconds: 100 + (n % 3) }),
  () => ({ options: { algorithm: 'round-robin' } }),
  () => ({ options: { algorithm: 'source-hash' } }),
];

if (await inNetns(import.meta.url)) {
  t.test('many Services of all kinds', async (t) => {
    const objects = Array.from({ length: SERVICES }, (_, n) => [
      service({
        name: `s${n}`,
        clusterIPs: { IPv4: ip(`10.96.${n >> 8}.${n & 255}`) },
        ...KINDS[n % KINDS.length]?.(n),
      }),
      slice(
        Array.from({ length: ENDPOINTS }, (_, i) => endpoint(`10.1.${n >> 3}.${(n & 1) * 64 + i}`)),
        { name: `s${n}-1`, serviceName: `s${n}` },
      ),
    ]).flat();
    const table = tableOf(objects);
    const changes = table.commit();
    const first = openDataplane();
    const { families } = await first.sync(table, changes);
    t.ok((families[0]?.transactions ?? 0) >= 2, `${families[0]?.transactions} transactions`);
    await first.close();
    const second = openDataplane();
    const adopted = await second.sync(table, changes);
    t.strictSame(
      adopted.families.map(({ kind }) => kind),
      ['none', 'none'],
    );
    await second.close();
  });
}
