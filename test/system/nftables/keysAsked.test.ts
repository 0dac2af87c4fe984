/** A large set is not listed: what must be in it is asked for by key. That tells a table that is as wanted from one that is not. */
import t from 'tap';
import type { WantedKeysOfSet } from '../../../src/dataplane/Dataplane.js';
import { nftablesSettings } from '../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { isAsWanted } from '../../../src/dataplane/nftables/isAsWanted.js';
import { type DigestOfTable, WantedDigest } from '../../../src/dataplane/nftables/plan/WantedDigest.js';
import { TableDigest } from '../../../src/dataplane/nftables/TableDigest.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { HOST_ADDRESSES, OPTIONS, openChannel, openDataplane } from '../../support/nftablesWorld.js';

const SERVICES = 60;
const ENDPOINTS = 5;
/** Elements of the map of endpoints: more than one request asks for. */
const ELEMENTS = SERVICES * ENDPOINTS;

const objects = Array.from({ length: SERVICES }, (_, n) => [
  service({
    name: `s${n}`,
    clusterIPs: { IPv4: ip(`10.96.1.${n + 1}`) },
    ports: [port({ name: 'http' })],
  }),
  slice(
    Array.from({ length: ENDPOINTS }, (_, i) => endpoint(`10.1.${n}.${i + 1}`)),
    { name: `s${n}-1`, serviceName: `s${n}`, ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] },
  ),
]).flat();

type Change = (keys: WantedKeysOfSet) => WantedKeysOfSet;

if (await inNetns(import.meta.url)) {
  const table = tableOf(objects);
  const dataplane = openDataplane();
  const channel = openChannel();
  t.teardown(async () => {
    await dataplane.close();
    channel.close();
  });
  await dataplane.sync(table, table.commit());
  const settings = nftablesSettings(OPTIONS, 'IPv4', table, {
    addresses: HOST_ADDRESSES,
    localhostPorts: { tcp: 40_001, udp: 40_002 },
  });

  const look = async (change: Change = (keys) => keys) => {
    const digest = await TableDigest.begin(new NftablesTable(channel, 'IPv4', TABLE), ELEMENTS / 2);
    if (digest === undefined) throw new Error('there is no table');
    const wanted = new WantedDigest(digest.largeSets);
    for (const each of table.servicePorts('IPv4').values()) {
      wanted.add(each);
      for (const keys of wanted.takeKeys(64)) digest.takeKeys(change({ family: 'IPv4', ...keys }));
    }
    for (const keys of wanted.takeKeys(1)) digest.takeKeys(change({ family: 'IPv4', ...keys }));
    await digest.readOthers();
    const present = await digest.end();
    const said = JSON.parse(JSON.stringify(wanted)) as DigestOfTable;
    const isEqual = present !== undefined && isAsWanted(said, settings, present);
    return { large: digest.largeSets, isEqual, count: present?.sets.get('endpoints')?.count };
  };
  const element = (place: string) => `penstock endpoints { ${place} }`;
  const first = '10.96.1.1 . tcp . 80 . ';
  const list = shell('nft list map ip penstock endpoints');
  const [, index, target] = /10\.96\.1\.1 \. tcp \. 80 \. (\S+) : (\S+ \. \d+)/.exec(list) ?? [];

  t.test('equal to what was written', async (t) => {
    const { large, isEqual, count } = await look();
    // Before Linux 6.18 the kernel does not count elements, and all are listed.
    if (large.length === 0) t.comment('this kernel does not say how many elements a set has');
    else t.strictSame(large, ['endpoints']);
    t.equal(isEqual, true);
    t.equal(count, ELEMENTS);
  });

  const there = `${first}${index} : ${target}`;
  for (const [what, make, undo] of [
    [
      'one is missing',
      `delete element ip ${element(`${first}${index}`)}`,
      `add element ip ${element(there)}`,
    ],
    [
      'one has another value',
      `delete element ip ${element(`${first}${index}`)}; add element ip ${element(`${first}${index} : 10.9.9.9 . 8080`)}`,
      `delete element ip ${element(`${first}${index}`)}; add element ip ${element(there)}`,
    ],
    [
      'there is one more',
      `add element ip ${element(`${first}99 : 10.9.9.9 . 8080`)}`,
      `delete element ip ${element(`${first}99`)}`,
    ],
    [
      'one is in the place of another',
      `delete element ip ${element(`${first}${index}`)}; add element ip ${element(`${first}99 : ${target}`)}`,
      `delete element ip ${element(`${first}99`)}; add element ip ${element(there)}`,
    ],
    [
      'there is one for all other keys, which the kernel does not count',
      `add element ip ${element('* : 10.9.9.9 . 8080')}`,
      `delete element ip ${element('*')}`,
    ],
  ] as const)
    t.test(`not equal where ${what}`, async (t) => {
      shell(`nft '${make}'`);
      t.equal((await look()).isEqual, false);
      shell(`nft '${undo}'`);
      t.equal((await look()).isEqual, true, 'and equal again');
    });

  t.test('an agent of another version gives no keys, or what is none', async (t) => {
    t.equal((await look((keys) => ({ ...keys, set: 'nobody' }))).isEqual, true);
    t.equal((await look((keys) => ({ ...keys, length: 0 }))).isEqual, true);
  });
}
