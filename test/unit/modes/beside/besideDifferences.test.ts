/** Tables of first packets that could not be written are a difference, not a silence. */
import t from 'tap';
import type { NodeConfig } from '../../../../src/config/NodeConfig.js';
import type { BesideTable, Dataplane } from '../../../../src/dataplane/Dataplane.js';
import type { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import {
  type AcceptingCompanion,
  AccompaniedDataplane,
} from '../../../../src/modes/beside/AccompaniedDataplane.js';
import { besideDifferences } from '../../../../src/modes/beside/besideDifferences.js';
import type { RoutingView } from '../../../../src/routing/RoutingView.js';

const VIEW = { servicePorts: () => new Map() } as unknown as RoutingView;
const CONFIG = { wake: {} } as NodeConfig;
/** Nothing is asked of the kernel. */
const NO_CHANNEL = {} as NetlinkChannel;
const table = (why: string): BesideTable => ({ kind: 'accept', settings: {}, why });

t.test('a table that Services ask for and that is not written', async (t) => {
  t.strictSame(await besideDifferences([table('EOPNOTSUPP')], CONFIG, VIEW, NO_CHANNEL), [
    { sign: '-', what: 'table penstock-accept', service: '', text: 'not written: EOPNOTSUPP' },
  ]);
  t.strictSame(await besideDifferences([table('')], CONFIG, VIEW, NO_CHANNEL), []);
});

t.test('the agent tells of it', async (t) => {
  const facts = (why: string) => {
    const accepting = { table: table(why), state: () => undefined } as unknown as AcceptingCompanion;
    const target = { ruleFacts: () => ({ families: {}, logGroup: 0 }) } as unknown as Dataplane;
    return new AccompaniedDataplane(target, { accepting }).ruleFacts(VIEW).beside;
  };
  t.strictSame(facts('EOPNOTSUPP'), [table('EOPNOTSUPP')]);
  t.equal(facts(''), undefined, 'nobody asks, or it is written only now');
});
