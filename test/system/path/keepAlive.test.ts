/** New pods get their share of the connections that nginx keeps open to a cluster IP, within the time that docs/path.md names. */
import t, { type Test } from 'tap';
import { inNetns } from '../../support/inNetns.js';
import { Load } from '../../support/path/Load.js';
import { PathWorld } from '../../support/path/PathWorld.js';
import { noProxies } from '../../support/pathProxies.js';
import { PATIENCE } from '../../support/patience.js';

/** Seconds: `--keep-alive` of the controller in kernel modes, max-lifetime of the Service in mode userspace. */
const LIFETIME = 3;
/** Seconds that the agents of a busy machine need to hear of the new pods, and a connection until its next request. */
const SLACK = 5;
const LONG = 600;

const skip = noProxies();
const pause = (seconds: number) => new Promise<void>((done) => setTimeout(done, seconds * 1000 * PATIENCE));

if (skip) t.test('keep-alive connections to a cluster IP', { skip }, async () => {});
else if (await inNetns(import.meta.url)) {
  const world = new PathWorld();
  t.teardown(() => world.close());
  const [, node2, node3] = world.nodes;
  const all = ['pod1', 'pod2', 'pod4', 'pod5'] as const;
  await world.start('nftables', {}, LIFETIME);
  for (const pod of ['pod4', 'pod5'] as const) world.startApp(pod);

  /** Share of the two new pods, of what is asked in a few seconds. */
  const youngShare = async (t: Test, mostFailed = 0) => {
    const load = await Load.begin(200);
    await pause(3);
    const { by, failed, why } = await load.stop();
    t.ok(failed <= mostFailed, `${failed}: ${JSON.stringify(why)}`);
    const total = Object.values(by).reduce((sum, count) => sum + count, 0);
    return ((by.pod4 ?? 0) + (by.pod5 ?? 0)) / total;
  };
  /** Connections are open to pod1 and pod2; then there are four pods, and `seconds` pass, in which there is traffic. */
  const scaleOut = async (t: Test, seconds: number, mostFailed = 0) => {
    world.write({ apps: ['pod1', 'pod2'] });
    await pause(1.5);
    t.equal(await youngShare(t, mostFailed), 0, 'in the beginning the new ones have nothing');
    const load = await Load.begin(200);
    await pause(1);
    world.write({ apps: all });
    await pause(seconds);
    const { failed, why } = await load.stop();
    t.ok(failed <= mostFailed, `${failed}: ${JSON.stringify(why)}`);
  };
  /** Half of it is theirs, but what is asked goes by a handful of connections, each to one pod by chance: it may be looked thrice. */
  const haveTheirs = async (t: Test, mostFailed = 0) => {
    let share = 0;
    for (let i = 0; i < 3 && share < 0.15; i++) share = await youngShare(t, mostFailed);
    t.ok(share >= 0.15, `the new pods get ${share.toFixed(2)}`);
  };
  const longLived = async () => {
    // Before nginx is new: it would keep connections to the others.
    world.write({ apps: ['pod1', 'pod2'] });
    await pause(1.5);
    for (const edge of ['edge1', 'edge2'] as const) {
      await world.pods[edge].end('SIGQUIT');
      world.startEdge(edge, LONG);
    }
    await world.until('nginx again', async () => (await world.ask({ host: 'shop.example' })).status === 200);
  };

  t.test('kernel modes: nginx closes a connection that is older than keepalive_time', async (t) => {
    await scaleOut(t, LIFETIME + SLACK);
    await haveTheirs(t);
  });

  t.test('mode userspace: max-lifetime of the Service, whatever nginx does', async (t) => {
    for (const node of [node2, node3]) await world.restart(node, 'SIGTERM', 'userspace');
    world.write({ apps: ['pod1', 'pod2'], appAnnotations: { 'penstock.io/max-lifetime': `${LIFETIME}s` } });
    await longLived();
    // A reset takes what is just then on its way, and nginx tries only what it knows to be safe.
    await scaleOut(t, LIFETIME + SLACK, 5);
    await haveTheirs(t, 5);
  });
}
