/** What an agent that announces asks of the API server while nothing happens: whatever the number of Services, the same. */
import t from 'tap';
import { AnnouncementObjects } from '../../../../src/balancer/announce/AnnouncementObjects.js';
import { watchAnnouncements } from '../../../../src/balancer/announce/watchAnnouncements.js';
import { openLeaseMembership } from '../../../../src/balancer/membership/openLeaseMembership.js';
import { Outage } from '../../../../src/kubernetes/contact/Outage.js';
import { KubernetesSource } from '../../../../src/kubernetes/KubernetesSource.js';
import { cidr, ip } from '../../../support/builders.js';
import { FakeApiServer, type RawApiObject } from '../../../support/FakeApiServer.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { SERVICES, service } from '../../../support/sourceWorld.js';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const SECONDS = 1200;

async function requestsOf(services: number): Promise<{ total: number; leases: number; others: number }> {
  const clock = new FakeClock();
  const fake = new FakeApiServer(clock);
  for (let n = 0; n < services; n++) fake.put(SERVICES, service(n));
  let sent = 0;
  const api = {
    server: fake.server,
    get: fake.get.bind(fake),
    close: async () => {},
    send: async (method: 'POST' | 'PATCH', path: string, body: unknown) => {
      sent++;
      const lease = body as RawApiObject;
      const known = fake.objects(LEASES).some(({ metadata }) => metadata.name === lease.metadata.name);
      if (method === 'PATCH' && !known) return 404;
      if (!path.startsWith(LEASES)) throw new Error(`nothing but Leases is written, not ${path}`);
      fake.put(LEASES, lease);
      return method === 'POST' ? 201 : 200;
    },
  };
  const log = { info: () => {}, warn: () => {} };
  const random = () => 0.5;
  const outage = new Outage(clock, api.server, log, () => '');
  const source = new KubernetesSource({
    transport: api,
    nodeName: 'node1',
    serviceProxyName: '',
    log,
    clock,
    random,
  });
  let told = 0;
  await source.start({
    changes: (batch) => {
      told += batch.length;
    },
    complete: () => {},
    problems: () => {},
  });
  const watch = watchAnnouncements({
    api,
    outage,
    objects: new AnnouncementObjects(),
    clock,
    random,
    onChange: () => {},
    onComplete: () => {},
  });
  const membership = openLeaseMembership({
    api,
    outage,
    namespace: 'kube-system',
    node: 'node1',
    clock,
    random,
    wallClock: () => 0,
    facts: () => ({
      address: ip('192.0.2.1'),
      macs: [],
      subnets: [cidr('192.0.2.0/24')],
      advertises: new Map(),
    }),
    heard: () => new Set(),
    onView: () => {},
    onDeaf: () => {},
    onRenewed: () => {},
    now: () => clock.now(),
    onTrouble: () => {},
  });
  await clock.pass(60_000);
  t.equal(told, services, 'every Service was read');
  const [gets, writes] = [fake.requests.length, sent];
  await clock.pass(SECONDS * 1000);
  const [others, leases] = [fake.requests.length - gets, sent - writes];
  await Promise.all([membership.stop(), watch.stop(), source.stop()]);
  outage.stop();
  return { total: leases + others, leases, others };
}

t.test('an idle node asks half a time a second, with 10 Services as with 1,000', async (t) => {
  const few = await requestsOf(10);
  const many = await requestsOf(1000);
  t.same(many, few);
  t.comment(
    `${SECONDS} s: ${few.leases} renewals of the Lease, ${few.others} watches that the server ended and that were begun again`,
  );
  t.ok(few.leases > SECONDS / 3, 'the Lease');
  t.ok(few.total <= SECONDS / 2, `${few.total / SECONDS} a second`);
});
