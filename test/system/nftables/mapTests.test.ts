/**
 * Rules that ask whether a map has a key. Older kernels (6.1) take that only with a register for what is found; there the table learns it
 * from the first refusal. `./scripts/vm --qemu node dist/test/system/nftables/mapTests.test.js` runs this on such a kernel.
 */
import { createServer } from 'node:net';
import t from 'tap';
import { INET_SERVICE, IPV4_ADDRESS } from '../../../src/kernel/nftables/dataTypes.js';
import { DESTINATION_PORT, FIELDS } from '../../../src/kernel/nftables/fields.js';
import type { SetSpec } from '../../../src/kernel/nftables/SetSpec.js';
import { goTo, inMap, isProtocol, RESET } from '../../../src/kernel/nftables/statements.js';
import { type ChainSpec, Transaction } from '../../../src/kernel/nftables/Transaction.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../../../src/kernel/nftables/table/openNftablesChannel.js';
import { chainText, presentText } from '../../../src/kernel/nftables/table/TableState.js';
import { inNetns } from '../../support/inNetns.js';
import { listedRuleset, shell } from '../../support/iptables.js';
import { ask } from '../../support/loopbackEndpoints.js';

const MAP: SetSpec = {
  name: 'places',
  key: { types: [IPV4_ADDRESS, INET_SERVICE] },
  data: { types: [IPV4_ADDRESS, INET_SERVICE] },
  size: 64,
};
const KEY = [FIELDS.IPv4.destinationAddress, DESTINATION_PORT];
const REFUSE: ChainSpec = { name: 'refuse', rules: [[isProtocol('tcp'), RESET]] };
const ASKING: ChainSpec = {
  name: 'asking',
  hook: { type: 'filter', hook: 'output', priority: 0 },
  rules: [[isProtocol('tcp'), inMap(KEY, MAP.name), goTo(REFUSE.name)]],
};

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');
  const server = createServer((socket) => socket.end('here'));
  await new Promise<void>((resolve) => server.listen(8080, '0.0.0.0', resolve));
  t.teardown(() => server.close());

  for (const mapTests of ['as in a set', 'into a register'] as const) {
    t.test(`${mapTests} at first`, async (t) => {
      const channel = openNftablesChannel();
      t.teardown(() => channel.close());
      const table = new NftablesTable(channel, 'IPv4', 'penstock-maps', mapTests);
      const transaction = new Transaction('IPv4', 'penstock-maps');
      transaction.createTable = true;
      transaction.newSets.push(MAP);
      for (const chain of [REFUSE, ASKING]) transaction.addChain(chain);
      t.equal(await table.check(transaction), undefined);
      await table.commit(transaction);
      const state = await table.readState();
      for (const chain of [REFUSE, ASKING])
        t.equal(presentText(state, chain.name), chainText(chain), chain.name);
      t.match(listedRuleset(), /goto refuse/, 'nft lists it');
      shell('nft add element ip penstock-maps places { 127.0.0.2 . 8080 : 127.0.0.3 . 80 }');
      t.equal(await ask('127.0.0.2', 8080), 'ECONNREFUSED', 'what the map has');
      t.equal(await ask('127.0.0.3', 8080), 'here', 'and what it has not');
      t.equal(await table.delete(), true);
    });
  }
}
