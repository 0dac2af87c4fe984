/** Whoever lists the rules sees whose an address is: a comment on each element of the maps of VIPs and node ports. */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { nftablesSettings } from '../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { differences } from '../../../src/dataplane/nftables/differences.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import type { Service } from '../../../src/objects/Service.js';
import { endpoint, ip, port, remove, service, slice, tableOf, upsert } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { HOST_ADDRESSES, OPTIONS, openChannel, openDataplane } from '../../support/nftablesWorld.js';

/** As openDataplane() has them. */
const FACTS = { addresses: HOST_ADDRESSES, localhostPorts: { tcp: 40_001, udp: 40_002 } };
const LONGEST = 'n'.repeat(63);

const cart = service({
  type: 'NodePort',
  ports: [port({ name: 'http', nodePort: 30_080 })],
  externalIPs: [ip('192.0.2.80')],
});
const long = service({
  namespace: LONGEST,
  name: LONGEST.replaceAll('n', 's'),
  clusterIPs: { IPv4: ip('10.96.0.11') },
  ports: [port({ name: 'p'.repeat(15) })],
});
const slices = [cart, long].map(({ namespace, name, ports }) =>
  slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')], {
    namespace,
    name: `${name.slice(0, 20)}-1`,
    serviceName: name,
    ports: ports.map((each) => ({ name: each.name, protocol: each.protocol, port: 8080 })),
  }),
);

/** The lines of elements of a map, without what belongs to the list. */
function elements(map: string): string[] {
  const list = shell(`nft list map ip ${TABLE} ${map}`);
  return [...list.matchAll(/[\d.]+ \. tcp \. \d+ [^,}]*|tcp \. \d+ [^,}]*/g)].map(([line]) => line.trim());
}

if (await inNetns(import.meta.url)) {
  const table = tableOf([cart, long, ...slices]);
  const dataplane = openDataplane();
  t.teardown(() => dataplane.close());
  await dataplane.sync(table, table.commit());

  t.test('nft shows the Service beside its addresses', async (t) => {
    const named = elements('service-ips').sort();
    t.equal(named.length, 3);
    const form = /^(\S+) \. tcp \. 80 counter packets 0 bytes 0 comment "(.*)" : "(cluster|external)"$/;
    t.strictSame(
      named.map((line) => form.exec(line)?.slice(1, 3)),
      [
        ['10.96.0.10', 'shop/cart:http'],
        // nft takes comments of up to 128 bytes.
        ['10.96.0.11', `${LONGEST}/${LONGEST.replaceAll('n', 's')}:`.slice(0, 128)],
        ['192.0.2.80', 'shop/cart:http'],
      ],
    );
    t.match(elements('node-ports')[0], /^tcp \. 30080 counter .* comment "shop\/cart:http" : goto /);
  });

  t.test('what nft lists it also loads, with the names', async (t) => {
    const list = shell(`nft list table ip ${TABLE}`);
    const file = join(tmpdir(), `names-${process.pid}.nft`);
    writeFileSync(file, list);
    shell(`nft delete table ip ${TABLE}; nft -f ${file}; rm ${file}`);
    t.equal(shell(`nft list table ip ${TABLE}`), list);
    const second = openDataplane();
    const report = await second.sync(table, table.commit());
    t.equal(report.families[0]?.kind, 'none', 'and another agent finds all in place');
    await second.close();
    dataplane.requireFull();
    await dataplane.sync(table, table.commit());
  });

  t.test('an address that goes to another Service changes its name, and nothing else does', async (t) => {
    const heir: Service = { ...cart, name: 'heir' };
    const [ofCart] = slices;
    if (!ofCart) throw new Error('cart has a slice');
    table.apply([cart, ofCart].map(remove));
    table.apply([heir, { ...ofCart, name: 'heir-1', serviceName: 'heir' }].map(upsert));
    await dataplane.sync(table, table.commit());
    t.match(elements('service-ips').join('\n'), /10\.96\.0\.10 .* comment "shop\/heir:http"/);
    t.notMatch(elements('service-ips').join('\n'), /cart/);
  });

  t.test('a table without names gets them, and counts go on', async (t) => {
    const line = elements('service-ips').find((each) => each.startsWith('10.96.0.10 ')) ?? '';
    const chain = line.split(' : ')[1];
    t.equal(chain, '"cluster"');
    const key = '10.96.0.10 . tcp . 80';
    shell(`nft delete element ip ${TABLE} service-ips '{ ${key} }'`);
    shell(`nft add element ip ${TABLE} service-ips '{ ${key} counter packets 7 bytes 420 : ${chain} }'`);
    const channel = openChannel();
    const kernel = new NftablesTable(channel, 'IPv4', TABLE);
    const report = await differences(
      kernel,
      table.servicePorts('IPv4'),
      nftablesSettings(OPTIONS, 'IPv4', table, FACTS),
    );
    t.match(
      report.map(({ sign, text }) => `${sign} ${text}`).join('\n'),
      `~ ${key} : ${chain}, wanted is ${key} comment "shop/heir:http" : ${chain}`,
    );
    await channel.close();
    dataplane.requireFull();
    await dataplane.sync(table, table.commit());
    t.match(
      elements('service-ips').join('\n'),
      `${key} counter packets 7 bytes 420 comment "shop/heir:http" : ${chain}`,
    );
  });
}
