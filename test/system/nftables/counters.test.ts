/** Connections are counted by the kernel, and counts outlive whatever happens to the elements that hold them. */
import t from 'tap';
import { tableSets } from '../../../src/dataplane/nftables/desired/sets.js';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { portKey, protocolKey } from '../../../src/kernel/nftables/dataTypes.js';
import type { ElementCounters } from '../../../src/kernel/nftables/elements.js';
import { PROTOCOL_NUMBER } from '../../../src/kernel/nftables/statements.js';
import { Transaction } from '../../../src/kernel/nftables/Transaction.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';
import { type ParsedSeries, parseMetrics, seriesValue } from '../../unit/observe/parseMetrics.js';

const PODS = ['10.1.0.1', '10.1.0.2', '10.1.0.3'];
const VIP = '172.30.0.1';
const NODE = '192.168.77.1';
const NODE_PORT = 30_080;
const SETTINGS = 'mode: nftables\nclusterCIDR: 10.0.0.0/8\n';
const CONNECTIONS = 'penstock_service_port_connections_total';
/** Of a TCP SYN with the options that Linux sends. */
const SYN_BYTES = 60;

async function metrics(): Promise<ParsedSeries[]> {
  return parseMetrics(await (await fetch('http://127.0.0.1:10249/metrics')).text());
}

function cart(endpoints: readonly string[]): object[] {
  return shopObjects({
    name: 'cart',
    clusterIP: VIP,
    endpoints,
    spec: { type: 'NodePort', port: { nodePort: NODE_PORT } },
  });
}

/** Nobody connects while they change: a packet that comes between reading a count and replacing the element is lost. */
function endpointsInForce(): string {
  const list = shell('nft list map ip penstock endpoints');
  const pods = [...list.matchAll(/: ([\d.]+) \. 8080/g)].map(([, pod]) => pod);
  return [...new Set(pods)].sort().join();
}

function key(port: number): string {
  return protocolKey(PROTOCOL_NUMBER.tcp) + portKey(port);
}

function nodePorts(size: number) {
  const sizes = { 'service-ips': size, 'node-ports': size, endpoints: size, 'node-port-endpoints': size };
  return tableSets('IPv4', { sizes, counters: true })['node-ports'];
}

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());
  let connected = 0;
  const connect = (host: string = VIP, port = 80) => {
    connected++;
    return ask(host, port);
  };
  /** A page is at most a second old, so the right one comes soon. */
  const countsAll = () =>
    eventually(
      async () => seriesValue(await metrics(), CONNECTIONS, { service: 'cart' }) === connected,
      5000,
    );

  t.test('connections of a service port', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', cart(PODS.slice(0, 1)));
    agent.start();
    t.ok(await agent.ready());
    for (let i = 0; i < 3; i++) t.equal(await connect(), PODS[0]);
    for (let i = 0; i < 2; i++) t.equal(await connect(NODE, NODE_PORT), PODS[0]);
    t.ok(await countsAll(), 'VIP and node port together');
    const page = await metrics();
    const labels = { namespace: 'shop', service: 'cart', port: '80', protocol: 'TCP', ip_family: 'IPv4' };
    t.equal(seriesValue(page, CONNECTIONS, labels), 5);
    t.equal(seriesValue(page, 'penstock_service_port_first_packet_bytes_total', labels), 5 * SYN_BYTES);
    t.equal(
      seriesValue(page, 'kubeproxy_sync_full_proxy_rules_duration_seconds_count', { ip_family: 'IPv4' }),
      1,
    );

    for (const count of [2, 3, 2, 0, 1]) {
      const pods = PODS.slice(0, count);
      agent.write('cart.json', cart(pods));
      t.ok(await eventually(() => endpointsInForce() === pods.join()), `${count} endpoints`);
      for (let i = 0; i < 6; i++) t.ok((count === 0 ? ['ECONNREFUSED'] : pods).includes(await connect()));
      t.ok(await countsAll(), `${connected} connections by then`);
    }

    t.equal(await agent.end('SIGKILL'), 'SIGKILL');
    await connect();
    agent.start();
    t.ok(await agent.ready());
    t.ok(await countsAll(), 'also without an agent, and after its restart');

    shell('nft delete element ip penstock node-ports { tcp . 30080 }');
    const repairs = async () => seriesValue(await metrics(), 'penstock_repairs_total') === 1;
    t.ok(await eventually(repairs), 'the repair of a foreign change counts');
    t.equal(await agent.end('SIGTERM'), 0);
  });

  t.test('the metrics server can be told to tell nothing of service ports', async (t) => {
    await using agent = new AgentProcess(`${SETTINGS}penstock: {serviceMetricsLimit: 0}\n`);
    agent.write('cart.json', cart(PODS));
    agent.start();
    t.ok(await agent.ready());
    t.notOk((await metrics()).some(({ name }) => name === CONNECTIONS));
    t.equal(await agent.end('SIGTERM'), 0);
  });

  t.test('an element that is replaced', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => channel.close());
    const table = new NftablesTable(channel, 'IPv4', 'test');
    const counts = async () => {
      const found = new Map<string, ElementCounters | undefined>();
      await table.readElements(nodePorts(0), (element) => found.set(element.key, element.counters));
      return found;
    };
    const set = nodePorts(512);
    const ports = Array.from({ length: 300 }, (_, i) => 30_000 + i);
    const first = new Transaction('IPv4', 'test');
    first.createTable = true;
    first.newSets.push(set);
    for (const name of ['one', 'two']) first.addChain({ name, rules: [] });
    for (const port of ports) first.addElement(set, key(port), 'one');
    await table.commit(first);
    const counted = ports.map(
      (port, i) => `tcp . ${port} counter packets ${i} bytes ${i * SYN_BYTES} : goto one`,
    );
    shell(`nft -f - <<'EOF'
flush map ip test node-ports
add element ip test node-ports { ${counted.join(', ')} }
EOF`);
    const expected = new Map(ports.map((port, i) => [key(port), { packets: i, bytes: i * SYN_BYTES }]));

    const replacing = new Transaction('IPv4', 'test');
    for (const port of ports) {
      replacing.deleteElement(set, key(port));
      replacing.addElement(set, key(port), 'two');
    }
    replacing.addElement(set, key(80), 'two');
    await table.commit(replacing);
    expected.set(key(80), { packets: 0, bytes: 0 });
    t.strictSame(await counts(), expected, 'goes on where it was; a new one begins at 0');

    const larger = nodePorts(1024);
    const resizing = new Transaction('IPv4', 'test');
    resizing.deletedSets.push(set.name);
    resizing.newSets.push(larger);
    for (const port of [80, ...ports]) resizing.addElement(larger, key(port), 'one');
    await table.commit(resizing);
    t.strictSame(await counts(), expected, 'also when the whole map is replaced');

    const impossible = new Transaction('IPv4', 'test');
    for (const port of [80, 81]) {
      impossible.deleteElement(larger, key(port));
      impossible.addElement(larger, key(port), 'two');
    }
    await t.rejects(table.commit(impossible), { code: 'PENSTOCK_NFTABLES_REFUSED' }, 'one that is not there');
    t.strictSame(await counts(), expected);
  });
}
