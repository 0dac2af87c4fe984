/** Three nodes on one LAN: who answers for an address, and what becomes of it in every way of failing. */
import t from 'tap';
import { compareRank } from '../../../src/balancer/layer2/rendezvous.js';
import type { AnnounceStatus } from '../../../src/kernel/addon/NativeResponder.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { askFor, LanHost, LanNode, macOf, makeLan } from '../../support/balancer/lan.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';

const V4 = '192.0.2.100';
const V6 = '2001:db8::100';
/** What does not come in this time never does; how fast it comes on a machine with nothing else to do: `npm run bench -- lb`. */
const LONG_MS = 30_000;

if (await inNetns(import.meta.url)) {
  makeLan();
  const nodes = ['node1', 'node2', 'node3'].map((name, i) => new LanNode(name, i + 1));
  t.teardown(() => {
    for (const node of nodes) node.close();
  });
  const members = nodes.map(({ name, address }) => [name, address] as const);
  const byRank = (address: string) =>
    [...nodes].sort((a, b) => compareRank(address as IpAddress, a.name, b.name)) as [
      LanNode,
      LanNode,
      LanNode,
    ];
  const owners = (address: string) => nodes.filter((node) => node.announced().has(address));
  const settled = async (address: string, owner: LanNode) =>
    eventually(() => owners(address).length === 1 && owners(address)[0] === owner, LONG_MS);
  const begin = async (node: LanNode, wishes: readonly string[]) => {
    await node.start();
    node.tell({ members });
    // The first heartbeats tell whose hardware address is whose.
    await eventually(async () => {
      const { peers } = (await node.status()) as unknown as Pick<AnnounceStatus, 'peers'>;
      return peers.filter(({ silentForMs }) => silentForMs >= 0).length === nodes.length - 1;
    }, LONG_MS);
    node.tell({ wishes });
  };

  t.test('one node answers, in both families, and the address is on no interface', async (t) => {
    await Promise.all(nodes.map((node) => begin(node, [V4, V6])));
    for (const address of [V4, V6]) {
      const [first] = byRank(address);
      t.ok(await settled(address, first), `${address} is announced by ${first.name}`);
      t.equal(askFor(address), first.mac);
      t.notMatch(first.run('ip addr'), address);
    }
    const [first] = byRank(V4);
    const { arpRequests, arpReplies } = await first.status();
    t.ok((arpRequests as number) > 0 && arpReplies === arpRequests, 'every request was answered');
  });

  t.test('duplicate address detection of a host finds the address taken', async (t) => {
    const host = new LanHost('host', 50);
    t.teardown(() => host.close());
    host.run(`ip addr add ${V6}/64 dev eth0`);
    t.ok(await eventually(() => host.run('ip -6 addr show dev eth0').includes('dadfailed'), LONG_MS));
  });

  t.test('a killed owner is replaced', async (t) => {
    const [first, second] = byRank(V4);
    t.equal(askFor(V4), first.mac);
    const killed = Date.now();
    first.signal('SIGKILL');
    t.ok(
      await eventually(() => macOf(V4) === second.mac, LONG_MS),
      'the neighbour entry changed without a question',
    );
    t.ok(await eventually(() => second.announced().has(V4)));
    const took = second.events.findLast(({ event, address }) => event === 'announcing' && address === V4);
    const dead = second.events.findLast(({ event, name }) => event === 'peer' && name === first.name);
    t.equal(dead?.state, 'dead', 'heartbeats told it');
    t.ok((took?.at ?? 0) > (dead?.at ?? 0) && (dead?.at ?? 0) > killed);
    t.comment(`announced ${Math.round((took?.at ?? 0) - killed)} ms after the kill`);
    await begin(first, [V4, V6]);
    t.ok(await settled(V4, first), 'back again, it has the address back');
    t.equal(askFor(V4), first.mac);
  });

  t.test('a planned end hands over: somebody answers all the time', async (t) => {
    const [first, second] = byRank(V4);
    first.tell({ leave: true });
    let asked = 0;
    const end = performance.now() + 1500;
    while (asked < 3 || performance.now() < end) {
      const mac = askFor(V4);
      t.ok([first.mac, second.mac].includes(mac), `answered by ${mac}`);
      asked++;
    }
    t.ok(await eventually(() => first.events.some(({ event }) => event === 'left')));
    t.ok(await settled(V4, second));
    t.equal(askFor(V4), second.mac);
    first.signal('SIGKILL');
    await begin(first, [V4, V6]);
    t.ok(await settled(V4, first));
  });

  t.test('a cable that was out', async (t) => {
    const [first, second] = byRank(V4);
    shell(`ip link set ${first.name} down`);
    t.ok(await eventually(() => second.announced().has(V4), LONG_MS), 'another takes over');
    t.equal(askFor(V4), second.mac);
    shell(`ip link set ${first.name} up`);
    t.ok(await settled(V4, first), 'back in, exactly one is left');
    t.ok(await eventually(() => askFor(V4) === first.mac, LONG_MS));
  });

  t.test('a process that slept does not answer for what another took', async (t) => {
    const [first, second] = byRank(V4);
    first.signal('SIGSTOP');
    t.ok(await eventually(() => second.announced().has(V4), LONG_MS));
    // These wait in the socket of the sleeper.
    const answers = Array.from({ length: 5 }, () => askFor(V4));
    t.ok(answers.includes(second.mac) && !answers.includes(first.mac), `${answers}`);
    // The other one may have taken it before it was silent for a second: it had not heard the sleeper again since the cable was out.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    first.tell({ freshFor: 0 });
    first.signal('SIGCONT');
    t.ok(await eventually(() => first.events.some(({ event }) => event === 'paused'), LONG_MS));
    t.ok(await settled(V4, first), 'it comes first, and so has it back in order');
    t.ok(await eventually(() => askFor(V4) === first.mac, LONG_MS));
    first.tell({ freshFor: 1e9 });
  });

  t.test('a node without the API server keeps the address until it hears its successor', async (t) => {
    const [first, second, third] = byRank(V4);
    first.tell({ members, connected: false, freshFor: 0 });
    await new Promise((resolve) => setTimeout(resolve, 500));
    t.ok(first.announced().has(V4), 'nobody else announces it');
    for (const node of [second, third]) node.tell({ members, stale: [first.name] });
    t.ok(await settled(V4, second));
    t.ok(await eventually(() => askFor(V4) === second.mac, LONG_MS));
    first.tell({ members, connected: true, freshFor: 1e9 });
    for (const node of [second, third]) node.tell({ members });
    t.ok(await settled(V4, first));
  });

  t.test('an address moved by hand', async (t) => {
    const [first, , third] = byRank(V4);
    for (const node of nodes) node.tell({ wishes: [V4, V6], movedTo: third.name });
    t.ok(await settled(V4, third));
    t.ok(await eventually(() => askFor(V4) === third.mac, LONG_MS));
    for (const node of nodes) node.tell({ wishes: [V4, V6] });
    t.ok(await settled(V4, first));
  });

  t.test("an address that is a stranger's", async (t) => {
    const taken = ['192.0.2.150', '2001:db8::150'];
    const host = new LanHost('stranger', 60);
    t.teardown(() => host.close());
    host.run(`ip addr add ${taken[0]}/24 dev eth0; ip addr add ${taken[1]}/64 dev eth0 nodad`);
    for (const node of nodes) node.tell({ wishes: [V4, V6, ...taken] });
    for (const address of taken) {
      const [first] = byRank(address);
      const conflict = () =>
        first.events.find((each) => each.event === 'conflict' && each.address === address);
      t.ok(await eventually(() => conflict() !== undefined, LONG_MS));
      t.equal(conflict()?.mac, host.mac);
      t.same(owners(address), []);
      t.equal(askFor(address), host.mac);
    }
    for (const node of nodes) node.tell({ wishes: [V4, V6] });
  });

  t.test('1,000 addresses move at once', async (t) => {
    const many = Array.from(
      { length: 1000 },
      (_, i) => `198.51.${100 + Math.floor(i / 250)}.${(i % 250) + 1}`,
    );
    for (const node of nodes) node.tell({ wishes: [...many, V4, V6], movedTo: 'node1' });
    const [node1, node2] = nodes as [LanNode, LanNode];
    const sizes = () => nodes.map((node) => `${node.name} ${node.announced().size}`).join(', ');
    t.ok(await eventually(() => node1.announced().size === 1002, LONG_MS));
    for (const node of nodes) node.tell({ wishes: [...many, V4, V6], movedTo: 'node2' });
    t.ok(await eventually(() => node2.announced().size === 1002 && node1.announced().size === 0, LONG_MS));
    // Of all that was announced, from the word that the owner is gone to the last: those of node2 after node1 has died.
    for (const node of nodes) node.tell({ wishes: [...many, V4, V6], movedTo: 'node1' });
    t.ok(
      await eventually(() => node1.announced().size === 1002 && node2.announced().size === 0, LONG_MS),
      sizes(),
    );
    node1.signal('SIGKILL');
    const survivors = nodes.slice(1);
    t.ok(
      await eventually(
        () => survivors.reduce((sum, node) => sum + node.announced().size, 0) === 1002,
        LONG_MS,
      ),
    );
    for (const node of survivors) {
      const lost = node.events.findLast(({ event, state }) => event === 'peer' && state === 'dead')?.at ?? 0;
      const last = node.events.findLast(({ event }) => event === 'announcing')?.at ?? 0;
      t.ok(last > lost && lost > 0);
      t.comment(`${node.name}: ${Math.round(last - lost)} ms from the loss to the last, probes included`);
    }
  });
}
