/** What clients see: algorithms, weights, session affinity, refusals, over real connections. */
import { connect } from 'node:net';
import t from 'tap';
import type { ObjectChange } from '../../../src/objects/ApiObject.js';
import type { Service } from '../../../src/objects/Service.js';
import {
  cidr,
  endpoint,
  ip,
  remove,
  service,
  serviceCIDR,
  slice,
  tableOf,
  upsert,
} from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { openDataplane } from '../../support/nftablesWorld.js';

const ENDPOINTS = ['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6'];
const CLIENTS = Array.from({ length: 24 }, (_, i) => `10.2.0.${i + 1}`);
const VIP = '10.96.0.10';

/** One connection to the VIP from an address: who answered. */
function from(client: string, host = VIP, port = 80): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress: client, timeout: 2000 });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('timeout', () => {
      resolve('TIMEOUT');
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'ERROR'));
    socket.on('close', () => resolve(text));
  });
}

async function counts(connections: number, client = CLIENTS[0] as string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (let i = 0; i < connections; i++) {
    const answer = await from(client);
    found.set(answer, (found.get(answer) ?? 0) + 1);
  }
  return found;
}

/** Client → who answers it. */
async function whoAnswers(): Promise<Map<string, string>> {
  const answers = new Map<string, string>();
  for (const client of CLIENTS) answers.set(client, await from(client));
  return answers;
}

const moved = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>) =>
  [...before].filter(([client, endpoint]) => after.get(client) !== endpoint);

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(ENDPOINTS);
  for (const client of CLIENTS) shell(`ip addr add ${client}/32 dev lo`);
  const table = tableOf([]);
  const dataplane = openDataplane(undefined, ['IPv4']);
  t.teardown(async () => {
    await dataplane.close();
    server.close();
  });
  const apply = async (...changes: readonly ObjectChange[]) => {
    table.apply(changes);
    await dataplane.sync(table, table.commit());
  };
  const set = (fields: Partial<Service>, endpoints: readonly string[]) =>
    apply(upsert(service(fields)), upsert(slice(endpoints.map((address) => endpoint(address)))));

  t.test('weights', async (t) => {
    await set({ options: { weights: '{"10.1.0.1": 3, "10.1.0.3": 0}' } }, ENDPOINTS.slice(0, 3));
    const found = await counts(400);
    t.same([...found.keys()].sort(), ['10.1.0.1', '10.1.0.2'], 'weight 0 gets nothing');
    const share = (found.get('10.1.0.1') ?? 0) / 400;
    // 0.75, and five times the standard deviation of 0.022.
    t.ok(share > 0.64 && share < 0.86, `weight 3 of 4 got ${share}`);
  });

  t.test('round robin takes turns', async (t) => {
    await set({ options: { algorithm: 'round-robin' } }, ENDPOINTS.slice(0, 4));
    const turns: string[] = [];
    for (let i = 0; i < 12; i++) turns.push(await from(CLIENTS[0] as string));
    t.equal(new Set(turns.slice(0, 4)).size, 4, 'each once');
    t.same(turns.slice(4, 8), turns.slice(0, 4), 'and again in the same order');
    t.same(turns.slice(8), turns.slice(0, 4));
    // Some turns are empty with 3 and 6 endpoints, and the chain stays what it was.
    for (const count of [3, 6]) {
      await set({ options: { algorithm: 'round-robin' } }, ENDPOINTS.slice(0, count));
      const rounds: string[] = [];
      for (let i = 0; i < count * 4; i++) rounds.push(await from(CLIENTS[0] as string));
      const first = rounds.slice(0, count);
      t.equal(new Set(first).size, count, `each of ${count} once`);
      t.same(rounds, [...first, ...first, ...first, ...first], 'again and again in the same order');
    }
  });

  t.test('source-hash and maglev know a client again', async (t) => {
    for (const algorithm of ['source-hash', 'maglev']) {
      await set({ options: { algorithm } }, ENDPOINTS);
      const before = await whoAnswers();
      t.ok(new Set(before.values()).size >= 3, `${algorithm}: clients are spread`);
      t.same(moved(before, await whoAnswers()), [], `${algorithm}: and find their endpoint again`);
      if (algorithm !== 'maglev') continue;
      const gone = before.get(CLIENTS[0] as string) as string;
      await set(
        { options: { algorithm } },
        ENDPOINTS.filter((address) => address !== gone),
      );
      const others = moved(before, await whoAnswers()).filter(([, endpoint]) => endpoint !== gone);
      t.ok(others.length <= 3, `${others.length} clients of other endpoints moved when one went`);
    }
  });

  t.test('endpoints that stay share evenly after others went', async (t) => {
    await set({ options: {} }, ENDPOINTS);
    await set({}, ENDPOINTS.slice(0, 4));
    const found = await counts(400);
    t.same([...found.keys()].sort(), ENDPOINTS.slice(0, 4));
    // 100 each, and five times the standard deviation of 8.7.
    for (const [address, count] of found) t.ok(count > 56 && count < 144, `${address}: ${count} of 400`);
  });

  t.test('session affinity is for each client, and ends with its endpoint', async (t) => {
    await set({ affinitySeconds: 600 }, ENDPOINTS.slice(0, 3));
    const before = await whoAnswers();
    t.ok(new Set(before.values()).size > 1, 'clients are spread');
    for (let i = 0; i < 5; i++) t.same(moved(before, await whoAnswers()), [], 'and stay where they are');
    const gone = before.get(CLIENTS[0] as string) as string;
    await set(
      { affinitySeconds: 600 },
      ENDPOINTS.filter((address) => address !== gone),
    );
    const after = await whoAnswers();
    t.notOk([...after.values()].includes(gone), 'nobody is sent to an endpoint that went');
    t.same(
      moved(before, after).filter(([, endpoint]) => endpoint !== gone),
      [],
      'and nobody else was moved',
    );
    await set({}, ENDPOINTS.slice(0, 3));
    t.notMatch(
      shell('nft list map ip penstock affinity'),
      /10\.2\.0\./,
      'without affinity nothing is remembered',
    );
    await apply(upsert(service({ affinitySeconds: 2 })));
    const first = await from('10.2.0.1');
    t.equal(await from('10.2.0.1'), first);
    const expired = async () => !/10\.2\.0\.1 /.test(shell('nft list map ip penstock affinity'));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    t.ok(await expired(), 'after its time it is forgotten');
  });

  t.test('who is refused, and how', async (t) => {
    await apply(remove(service({})), remove(slice([])));
    await apply(upsert(serviceCIDR('kubernetes', '10.96.0.0/16')), upsert(service({})), upsert(slice([])));
    t.equal(await ask(VIP), 'ECONNREFUSED', 'no endpoints');
    await set({}, ENDPOINTS.slice(0, 1));
    t.equal(await ask(VIP, 81), 'ECONNREFUSED', 'a port that the Service does not have');
    t.equal(await ask('10.96.0.99', 80, 300), 'TIMEOUT', 'a cluster IP that nobody has');
    await set({ internalTrafficPolicy: 'Local' }, ENDPOINTS.slice(0, 1));
    t.equal(await ask(VIP, 80, 300), 'TIMEOUT', 'policy Local without an endpoint here: silence');
    t.match(shell(`ping -c 1 -W 1 ${VIP}`), /1 received/, 'pings are answered all the same');
  });

  t.test('source ranges', async (t) => {
    const lb = {
      type: 'LoadBalancer' as const,
      loadBalancerIngress: [{ ip: ip('198.18.0.1'), ipMode: 'VIP' as const }],
      loadBalancerSourceRanges: ['10.2.0.0/30', '10.2.0.2/32', '10.2.0.16/32'].map(cidr),
    };
    await set(lb, ENDPOINTS.slice(0, 1));
    const allowed: string[] = [];
    for (const client of CLIENTS.slice(0, 17)) {
      if ((await Promise.race([from(client, '198.18.0.1'), later(150)])) === ENDPOINTS[0])
        allowed.push(client);
    }
    t.same(allowed, ['10.2.0.1', '10.2.0.2', '10.2.0.3', '10.2.0.16']);
    t.equal(await from('10.2.0.9'), ENDPOINTS[0], 'the cluster IP is for everybody');
    await set({ ...lb, loadBalancerSourceRanges: [cidr('10.2.0.9/32')] }, ENDPOINTS.slice(0, 1));
    t.equal(await from('10.2.0.9', '198.18.0.1'), ENDPOINTS[0], 'other ranges count at once');
  });
}

function later(milliseconds: number): Promise<string> {
  return new Promise((resolve) => setTimeout(() => resolve('nobody'), milliseconds));
}
