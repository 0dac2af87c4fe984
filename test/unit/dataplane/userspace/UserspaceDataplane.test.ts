import t from 'tap';
import {
  type Dataplane,
  type DataplaneListener,
  type SyncReport,
  UNHEARD,
} from '../../../../src/dataplane/Dataplane.js';
import { type EncodingFacts, NOTHING_KNOWN } from '../../../../src/dataplane/userspace/encodeServices.js';
import { UserspaceDataplane } from '../../../../src/dataplane/userspace/UserspaceDataplane.js';
import type { ApiObject } from '../../../../src/objects/ApiObject.js';
import type { ChangeSet } from '../../../../src/routing/ChangeSet.js';
import type { RoutingView } from '../../../../src/routing/RoutingView.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { endpoint, ip, remove, service, slice, tableOf, upsert } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { FakeEngine } from '../../../support/FakeEngine.js';
import { eventually } from '../../../support/iptables.js';

const SYNCED: SyncReport = {
  families: [{ family: 'IPv4', kind: 'full', written: 1, transactions: 1, kernelMs: 1, totalMs: 2 }],
  problems: [{ subject: 'Service shop/till', message: 'was refused by the kernel' }],
};

/** Keeps what it was told. */
class FakeCapture implements Dataplane {
  readonly description = 'nftables';
  readonly families = ['IPv4'] as const;
  readonly calls: string[];
  listener: DataplaneListener = UNHEARD;
  table: RoutingView | undefined;
  changes: ChangeSet | undefined;
  wrong: string | undefined;

  constructor(calls: string[]) {
    this.calls = calls;
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    this.calls.push('capture.sync');
    Object.assign(this, { table, changes });
    return SYNCED;
  }

  requireFull(): void {
    this.calls.push('capture.requireFull');
  }

  async verify(): Promise<string | undefined> {
    return this.wrong;
  }

  async connectionCounters(table: RoutingView) {
    const servicePorts = [...table.servicePorts('IPv4').values()];
    return servicePorts.map((servicePort) => ({ servicePort, connections: 3, bytes: 180 }));
  }

  async close(): Promise<void> {
    this.calls.push('capture.close');
  }
}

function world({ shutdownTimeout = 0, listener = UNHEARD, takeover = true, clock = systemClock } = {}) {
  const calls: string[] = [];
  const said: string[] = [];
  const engine = new FakeEngine(calls);
  const capture = new FakeCapture(calls);
  const host = { address: ip('192.168.0.2'), facts: NOTHING_KNOWN, brokenRoutes: false };
  const dataplane = new UserspaceDataplane(
    {
      families: ['IPv4'],
      udpIdleTimeout: 250,
      drainTimeout: undefined,
      shutdownTimeout,
      takeoverPath: takeover ? 'path' : undefined,
    },
    {
      engine,
      capture: (heard) => Object.assign(capture, { listener: heard }),
      address: () => host.address,
      facts: () => host.facts,
      divert: async (family, what) => {
        if (host.brokenRoutes) throw new Error('no policy routing');
        calls.push(`divert ${family} ${what}`);
      },
      say: (level, text) => said.push(`${level} ${text}`),
      clock,
    },
    listener,
  );
  const table = tableOf([service(), slice([endpoint('10.1.0.1')])]);
  const sync = () => dataplane.sync(table, table.commit());
  const put = (...objects: readonly ApiObject[]) => {
    table.apply(objects.map(upsert));
    return sync();
  };
  /** What was called since the last time. */
  const fresh = () => calls.splice(0);
  /** `key target` of what the kernel is told. */
  const captured = () =>
    capture.changes?.families.IPv4.map(
      ({ key, after }) => `${key} ${after?.endpoints.cluster.map(({ target }) => target).join() ?? 'gone'}`,
    );
  return { engine, capture, dataplane, host, table, said, sync, put, fresh, captured };
}

const ENGINE_PORT = 640;
const CELLS_OF_ENDPOINTS = 1 << 18;

t.test('the engine knows what the kernel will send it, and listens before', async (t) => {
  const { dataplane, sync, put, fresh, captured } = world();
  const report = await sync();
  t.strictSame(fresh(), [
    'divert IPv4 remove',
    'update with records',
    'startListening',
    'offerTakeover path',
    'capture.sync',
  ]);
  t.strictSame(captured(), [`shop/cart/TCP 192.168.0.2:${ENGINE_PORT}`]);
  t.strictSame(report, SYNCED);
  await sync();
  t.strictSame(fresh(), ['capture.sync'], 'nothing is new for the engine');
  await put(slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')]));
  t.strictSame(fresh(), ['update with records', 'capture.sync']);
  t.strictSame(captured(), [], 'nor for the kernel');
  t.equal(dataplane.description, `proxy on port ${ENGINE_PORT}, captured by nftables`);
  await dataplane.close();
});

t.test('another address of the host: every service port is sent there', async (t) => {
  const { dataplane, host, table, sync, put, captured } = world();
  await sync();
  await put(service({ name: 'till', clusterIPs: { IPv4: ip('10.96.0.11') } }));
  host.address = ip('192.168.0.3');
  table.apply([remove(service({ name: 'till' }))]);
  await sync();
  t.strictSame(captured(), [`shop/cart/TCP 192.168.0.3:${ENGINE_PORT}`, 'shop/till/TCP gone']);
  await sync();
  t.strictSame(captured(), [], 'once');
  await dataplane.close();
});

t.test('problems of both', async (t) => {
  const { dataplane, put } = world();
  const { problems } = await put(service({ options: { retries: 'many' } }));
  t.match(problems, [{ subject: 'Service shop/till' }, { message: /retries\] is "many"/ }]);
  await dataplane.close();
});

t.test('connections of endpoints that are gone are cut where the Service wants it', async (t) => {
  const { dataplane, put, sync, fresh } = world();
  await sync();
  await put(service({ options: { 'removed-endpoints': 'reset' } }));
  fresh();
  await put(slice([endpoint('10.1.0.2')]));
  t.strictSame(fresh(), ['update with records', `resetEndpoint ${CELLS_OF_ENDPOINTS}`, 'capture.sync']);
  await dataplane.close();
});

t.test(
  'routes for addresses of clients are there before connections bear them, and as long as one may',
  async (t) => {
    const { dataplane, put, sync, fresh } = world();
    await sync();
    fresh();
    t.notOk(dataplane.isTransparent('IPv4'));
    await put(service({ options: { 'source-address': 'transparent' } }));
    t.ok(dataplane.isTransparent('IPv4'));
    t.strictSame(fresh(), ['divert IPv4 add', 'update with records', 'capture.sync']);
    await sync();
    t.strictSame(fresh(), ['capture.sync']);
    await put(service());
    t.strictSame(fresh(), ['update with records', 'capture.sync']);
    t.ok(dataplane.isTransparent('IPv4'));
    await dataplane.close();
  },
);

t.test('whatever fails before it, the kernel is told in the end', async (t) => {
  for (const step of ['update', 'startListening'] as const) {
    const { dataplane, engine, sync, put, fresh, captured } = world();
    engine.broken = step;
    await t.rejects(sync(), step);
    await t.rejects(put(service({ name: 'till', clusterIPs: { IPv4: ip('10.96.0.11') } })), step);
    t.strictSame(captured(), undefined, 'nothing is sent to an engine that does not know of it');
    fresh();
    engine.broken = undefined;
    await sync();
    t.match(fresh(), step === 'update' ? ['update with records', 'startListening'] : ['startListening']);
    t.strictSame(captured(), [`shop/cart/TCP 192.168.0.2:${ENGINE_PORT}`, 'shop/till/TCP ']);
    await dataplane.close();
  }
});

t.test('endpoints that leave while the engine cannot be told', async (t) => {
  const { dataplane, engine, put, sync, fresh } = world();
  await put(service({ options: { 'removed-endpoints': 'reset' } }));
  engine.broken = 'update';
  await t.rejects(put(slice([endpoint('10.1.0.2')])));
  fresh();
  engine.broken = undefined;
  await sync();
  t.strictSame(fresh(), ['update with records', `resetEndpoint ${CELLS_OF_ENDPOINTS}`, 'capture.sync']);
  await dataplane.close();
});

t.test(
  'a node without policy routing: who wants addresses of clients does without, nobody else',
  async (t) => {
    const { dataplane, host, put, sync, fresh, said, captured } = world();
    await sync();
    host.brokenRoutes = true;
    const { problems } = await put(
      service({ options: { 'source-address': 'transparent' } }),
      service({ name: 'till', clusterIPs: { IPv4: ip('10.96.0.11') } }),
    );
    t.strictSame(captured(), ['shop/till/TCP ']);
    t.notOk(dataplane.isTransparent('IPv4'), 'no packet is marked');
    t.match(problems, [{}, { subject: 'Service shop/cart', message: /has no policy routing/ }]);
    await sync();
    t.equal(said.filter((line) => /no policy routing/.test(line)).length, 1, 'said once');
    fresh();
    host.brokenRoutes = false;
    const healed = await sync();
    t.strictSame(fresh(), ['divert IPv4 add', 'update with records', 'capture.sync']);
    t.strictSame(healed, SYNCED);
    t.ok(dataplane.isTransparent('IPv4'));
    await dataplane.close();
  },
);

t.test('an endpoint that is a Service is named once, until the Service changes', async (t) => {
  const { dataplane, engine, said, sync, put } = world();
  await sync();
  engine.events = [5, 0, CELLS_OF_ENDPOINTS, 0, 5, 0, CELLS_OF_ENDPOINTS, 0];
  const line = /^warn shop\/cart\/TCP: endpoint 10\.1\.0\.1:8080 is the address of a Service/;
  const told = () => said.filter((text) => line.test(text)).length;
  t.ok(await eventually(() => told() > 0));
  engine.events = [5, 0, CELLS_OF_ENDPOINTS, 0, 5, 99, 98, 0];
  await new Promise((resolve) => setTimeout(resolve, 250));
  t.equal(told(), 1);
  const { problems } = await sync();
  t.match(problems, [{}, { subject: 'Service shop/cart', message: /would go in circles/ }]);
  t.strictSame((await put(slice([endpoint('10.1.0.2')]))).problems.length, 1);
  await dataplane.close();
});

t.test('other facts of the node: the engine is told everything again', async (t) => {
  const { dataplane, host, sync, fresh } = world();
  await sync();
  fresh();
  const facts: EncodingFacts = { ...NOTHING_KNOWN, masqueradeAll: true };
  host.facts = facts;
  await sync();
  t.strictSame(fresh(), ['update with records', 'capture.sync']);
  await sync();
  t.strictSame(fresh(), ['capture.sync']);
  await dataplane.close();
});

t.test('the report is what the cells hold', async (t) => {
  const { dataplane, engine, sync } = world();
  await sync();
  const words = new BigUint64Array(engine.cells);
  words[0] = 12n;
  words[CELLS_OF_ENDPOINTS * 8] = 11n;
  engine.status = { ...engine.status, active: 2, unknown: 3, descriptors: 4 };
  const { servicePorts, ...whole } = dataplane.proxyReport();
  t.strictSame(whole, { active: 2, unknown: 3, descriptors: 4 });
  t.match(
    [...servicePorts],
    [
      {
        servicePort: { key: 'shop/cart/TCP' },
        connections: 12,
        endpoints: [{ target: '10.1.0.1:8080', connections: 11, isEjected: false }],
      },
    ],
  );
  await dataplane.close();
});

t.test('the kernel’s counters, of the service ports that it sees', async (t) => {
  const { dataplane, sync, table } = world();
  await sync();
  const counted = await dataplane.connectionCounters?.(table);
  t.match(counted, [{ servicePort: { key: 'shop/cart/TCP' }, connections: 3 }]);
  t.match(counted?.[0]?.servicePort.endpoints.cluster, [{ target: `192.168.0.2:${ENGINE_PORT}` }]);
  await dataplane.close();
});

t.test('what the engine tells is logged by name', async (t) => {
  const { dataplane, engine, said, sync } = world();
  await sync();
  engine.events = [0, 0, CELLS_OF_ENDPOINTS, 1];
  const line = 'warn shop/cart/TCP: endpoint 10.1.0.1:8080 does not answer; it gets no new ones for a while';
  t.ok(await eventually(() => said.includes(line)));
  await dataplane.close();
});

t.test('a predecessor: its sockets are taken, and its name as soon as it lets go of it', async (t) => {
  const { dataplane, engine, said, sync, fresh } = world();
  engine.status = { ...engine.status, inherited: 1 };
  engine.busyOffers = 2;
  await sync();
  t.strictSame(said, ['info took over the listening sockets of the penstock that ran here']);
  t.strictSame(fresh(), ['divert IPv4 remove', 'update with records', 'startListening', 'capture.sync']);
  t.ok(await eventually(() => fresh().includes('offerTakeover path')));
  t.equal(said.length, 1);
  await dataplane.close();
});

t.test('nobody is offered the sockets when it is not configured', async (t) => {
  const { dataplane, sync, fresh } = world({ takeover: false });
  await sync();
  t.notOk(fresh().some((call) => call.startsWith('offer')));
  await dataplane.close();
});

t.test('a successor: from then on the kernel is its business', async (t) => {
  let heard = 0;
  const foreign: string[] = [];
  const listener = {
    ...UNHEARD,
    succeeded: () => void heard++,
    foreignChange: (what: string) => void foreign.push(what),
  };
  const { dataplane, engine, capture, sync, put, fresh } = world({ listener });
  await sync();
  capture.listener.foreignChange('the chain is gone');
  capture.wrong = 'the chain is gone';
  t.equal(await dataplane.verify(), 'the chain is gone');
  engine.status = { ...engine.status, succeeded: 1 };
  t.ok(await eventually(() => heard > 0));
  fresh();
  t.strictSame(await put(slice([endpoint('10.1.0.2')])), { families: [], problems: [] });
  t.equal(await dataplane.verify(), undefined);
  capture.listener.foreignChange('every chain is another');
  t.strictSame(foreign, ['the chain is gone']);
  t.strictSame(fresh(), []);
  await new Promise((resolve) => setTimeout(resolve, 250));
  t.equal(heard, 1, 'told once');
  await dataplane.close();
  t.strictSame(fresh(), ['capture.close', 'stopListening', 'close']);
});

t.test('the end waits for open connections', async (t) => {
  const { dataplane, engine, said, sync, fresh } = world({ shutdownTimeout: 20_000 });
  await sync();
  fresh();
  engine.status = { ...engine.status, active: 2 };
  const closed = dataplane.close();
  await new Promise((resolve) => setTimeout(resolve, 250));
  t.strictSame(fresh(), ['capture.close', 'stopListening']);
  t.strictSame(said, ['info waiting up to 20 s for 2 connections to end']);
  engine.status = { ...engine.status, active: 0 };
  await closed;
  t.strictSame(fresh(), ['close']);
  t.equal(said.length, 1);
});

t.test('though not for ever', async (t) => {
  const { dataplane, engine, said, sync, fresh } = world({ shutdownTimeout: 150 });
  await sync();
  engine.status = { ...engine.status, active: 2 };
  await dataplane.close();
  t.equal(fresh().at(-1), 'close');
  t.equal(said.at(-1), 'warn 2 connections are cut: their time is over');
});

t.test('an end before the first sync', async (t) => {
  const { dataplane, fresh } = world();
  await dataplane.close();
  t.strictSame(fresh(), ['capture.close', 'close'], 'it does not listen');
});

t.test('nothing waits on any clock but the injected one, and nothing on that after the end', async (t) => {
  const clock = new FakeClock();
  const { engine, dataplane, sync, said, fresh } = world({ clock, shutdownTimeout: 5000 });
  engine.busyOffers = Number.POSITIVE_INFINITY;
  await sync();
  await clock.pass(300);
  t.notOk(fresh().includes('offerTakeover path'), 'the path is not free yet');
  engine.status = { ...engine.status, active: 2 };
  const closed = dataplane.close();
  await clock.pass(4900);
  t.notOk(fresh().includes('close'), 'two connections go on');
  await clock.pass(200);
  await closed;
  t.equal(clock.waiting, 0, 'neither the next offer nor the next look at the engine is left');
  t.strictSame(said.slice(-1), ['warn 2 connections are cut: their time is over']);
});
