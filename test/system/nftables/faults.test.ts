/** Every way in which a transaction can fail, at each of its messages: traffic goes on, and the next sync is right. */

import { constants } from 'node:os';
import t, { type Test } from 'tap';
import { UNHEARD } from '../../../src/dataplane/Dataplane.js';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane } from '../../../src/dataplane/nftables/NftablesDataplane.js';
import type { NativeSocket } from '../../../src/kernel/addon/NativeSocket.js';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { openNativeSocket } from '../../../src/kernel/netlink/openNativeSocket.js';
import { readGeneration } from '../../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import type { ObjectChange } from '../../../src/objects/ApiObject.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { cidr, endpoint, ip, remove, service, slice, tableOf, upsert } from '../../support/builders.js';
import { type Fault, FaultySocket } from '../../support/FaultySocket.js';
import { inNetns } from '../../support/inNetns.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';

const { ENOBUFS, EINTR, EBUSY, ENOENT, ENOMEM } = constants.errno;
const ERRORS = { ENOBUFS, EINTR, EBUSY, ENOENT, ENOMEM };
const VIP = '10.96.0.10';
const LIVE = ['10.1.0.1', '10.1.0.2'];

/** Service shop/cart answers all the time; what changes is beside it. */
const CART = [service(), slice(LIVE.map((address) => endpoint(address)))];

const web = (fields: Parameters<typeof service>[0] = {}) =>
  service({
    name: 'web',
    type: 'LoadBalancer',
    clusterIPs: { IPv4: ip('10.96.0.20') },
    ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30_080 }],
    loadBalancerIngress: [{ ip: ip('1.2.3.4'), ipMode: 'VIP' }],
    loadBalancerSourceRanges: [cidr('203.0.113.0/24')],
    externalTrafficPolicy: 'Local',
    ...fields,
  });
const webSlice = (...addresses: readonly string[]) =>
  slice(
    addresses.map((address) => endpoint(address, { nodeName: 'node1' })),
    { name: 'web-1', serviceName: 'web' },
  );

/** Each pair is a change and the change back. */
const CHANGES: Readonly<Record<string, readonly [readonly ObjectChange[], readonly ObjectChange[]]>> = {
  'an endpoint is replaced': [
    [upsert(webSlice('10.9.0.1', '10.9.0.3'))],
    [upsert(webSlice('10.9.0.1', '10.9.0.2'))],
  ],
  'endpoints are added': [
    [upsert(webSlice('10.9.0.1', '10.9.0.2', '10.9.0.3', '10.9.0.4'))],
    [upsert(webSlice('10.9.0.1'))],
  ],
  'a Service comes and goes': [[remove(web())], [upsert(web())]],
  'session affinity is switched on and off': [[upsert(web({ affinitySeconds: 77 }))], [upsert(web({}))]],
  'source ranges and policy change': [
    [upsert(web({ loadBalancerSourceRanges: [cidr('198.51.100.0/24')], externalTrafficPolicy: 'Cluster' }))],
    [upsert(web())],
  ],
};

function openOver(socket: NativeSocket): NftablesDataplane {
  const channel = new NetlinkChannel(socket, { timeoutMs: 200 });
  return new NftablesDataplane(
    {
      masqueradeMark: 0x4000,
      masqueradeAll: false,
      nodePortAddresses: [],
      detectLocal: { type: 'None' },
      answerPing: true,
      counters: true,
    },
    {
      tables: [new NftablesTable(channel, 'IPv4', TABLE)],
      addresses: () => ['192.168.77.1', '127.0.0.1'].map(ip),
      generation: () => readGeneration(channel),
      watch: () => {},
      localhostPorts: () => ({}),
      close: async () => channel.close(),
    },
    UNHEARD,
  );
}

/** What a second dataplane finds: `none` when the kernel is right. */
async function verdictOfAnother(table: RoutingTable): Promise<string> {
  const other = openOver(openNativeSocket(NetlinkProtocol.NETFILTER));
  const { families } = await other.sync(table, table.commit());
  await other.close();
  return families.map(({ kind }) => kind).join();
}

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(LIVE);
  t.teardown(() => server.close());
  const socket = new FaultySocket(NetlinkProtocol.NETFILTER);
  const dataplane = openOver(socket);
  const table = tableOf([...CART, web(), webSlice('10.9.0.1', '10.9.0.2')]);
  const sync = () => dataplane.sync(table, table.commit());

  /** False when the transaction had too few messages for the fault. */
  const survives = async (t: Test, words: string, changes: readonly ObjectChange[], fault: Fault) => {
    table.apply(changes);
    socket.fault = fault;
    const before = socket.injected;
    const failed = await sync().then(
      () => false,
      () => true,
    );
    if (socket.injected === before) return false;
    t.ok(failed, `${words}: said so`);
    if (!LIVE.includes(await ask(VIP, 80, 500))) t.fail(`${words}: traffic stopped`);
    await sync();
    if (!LIVE.includes(await ask(VIP, 80, 500))) t.fail(`${words}: traffic stopped after the next sync`);
    t.equal(await verdictOfAnother(table), 'none', `${words}: the next sync is right`);
    return true;
  };

  t.test('the first sync', async (t) => {
    const size = 80;
    for (const [code, errno] of Object.entries(ERRORS)) {
      for (const message of [0, 1, 2, 20, size]) {
        socket.fault = { type: 'refuse', message, errno };
        await t.rejects(sync(), `${code} at message ${message}`);
      }
    }
    socket.fault = { type: 'lose' };
    await t.rejects(sync(), 'its answer is lost');
    await sync();
    t.ok(LIVE.includes(await ask(VIP)), 'and then it works');
    t.equal(await verdictOfAnother(table), 'none');
  });

  for (const [name, [there, back]] of Object.entries(CHANGES)) {
    t.test(name, async (t) => {
      let turn = 0;
      const next = () => (turn++ % 2 === 0 ? there : back);
      for (const [code, errno] of Object.entries(ERRORS)) {
        let message = 0;
        const fault = (): Fault => ({ type: 'refuse', message, errno });
        while (await survives(t, `${code} at message ${message}`, next(), fault())) message++;
        t.ok(message > 3, `${message} messages were refused with ${code}`);
      }
      await survives(t, 'the answer is lost', next(), { type: 'lose' });
      await survives(t, 'half an answer', next(), { type: 'cut' });
      await survives(t, 'nothing is sent', next(), { type: 'send', code: 'ENOBUFS', errno: -ENOBUFS });
      await survives(t, 'a signal', next(), { type: 'send', code: 'EINTR', errno: -EINTR });
      await survives(t, 'no memory', next(), { type: 'send', code: 'ENOMEM', errno: -ENOMEM });
      if (turn % 2 === 1) {
        table.apply(back);
        await sync();
      }
    });
  }

  t.test('the end', async () => dataplane.close());
}
