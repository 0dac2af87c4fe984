/** The way of outside traffic with nodes in mode ipvs: the client's address, hop by hop. docs/path.md */
import t from 'tap';
import { inVm } from '../../support/inVm.js';
import { LIMIT_MS } from '../../support/ipvsAgent.js';
import { keepsClient } from '../../support/path/keepsClient.js';
import { PathWorld } from '../../support/path/PathWorld.js';
import { noProxies } from '../../support/pathProxies.js';

const skip = noProxies();

if (skip) t.test('the way of outside traffic', { skip }, async () => {});
else if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const world = new PathWorld();
  t.teardown(() => world.close());
  await world.start('ipvs');
  t.test("the client's address in mode ipvs", (t) => keepsClient(t, world));
}
