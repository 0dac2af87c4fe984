/** Who sees the client's address on the way of outside traffic (docs/path.md), whatever the mode of the nodes with pods is. */
import type { Test } from 'tap';
import { CLIENT, type PathWorld } from './PathWorld.js';
import { EDGE_NODE_PORT } from './pathObjects.js';

const SHOP = { host: 'shop.example' };
/** What nginx and the app say where the address is kept. */
export const KEPT = { status: 200, edge: CLIENT, forwarded: CLIENT };
/** Of node2. */
export const NODE_PORT = { address: '192.0.2.2', port: EDGE_NODE_PORT };

/** What nginx and the app said of the client's address. */
export async function seenOf(world: PathWorld, question: object = {}) {
  const { status, body, headers } = await world.ask({ ...SHOP, ...question });
  const [, peer = '', forwarded = ''] = body.trim().split(' ');
  return { status, edge: headers['x-edge-saw'], peer, forwarded };
}

/** Policies Local and Cluster, address and node port; Local again at the end. */
export async function keepsClient(t: Test, world: PathWorld): Promise<void> {
  const seen = (question: object = {}) => seenOf(world, question);
  t.match(await seen(), KEPT, 'policy Local, the address');
  t.match(await seen(NODE_PORT), KEPT, 'policy Local, node port');
  t.match((await seen()).peer, /^10\.244\.[23]\.10$/, 'the app is asked by nginx');
  t.match(await seen({ headers: { 'x-forwarded-for': '9.9.9.9' } }), KEPT, 'a client cannot say who it is');
  t.match(await seen({ tls: true }), KEPT, 'TLS ends at the edge');

  world.write({ edgePolicy: 'Cluster' });
  await world.until('policy Cluster', async () => {
    const { status, edge } = await seen(NODE_PORT);
    return status === 200 && edge !== CLIENT;
  });
  const cluster = await seen(NODE_PORT);
  t.match(cluster.edge, /^(10\.244\.2\.1|192\.0\.2\.2)$/, 'policy Cluster: an address of the node');
  t.equal(cluster.forwarded, cluster.edge, 'and the app gets no other');
  world.write({ edgePolicy: 'Local' });
  await world.until('policy Local again', async () => (await seen(NODE_PORT)).edge === CLIENT);
}
