/** What a history has besides its agents. */
import type { Chance } from './Chance.js';
import type { Cluster } from './Cluster.js';
import type { SimulatedHost } from './SimulatedHost.js';
import type { VirtualTime } from './VirtualTime.js';

export interface World {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly cluster: Cluster;
  readonly host: SimulatedHost;
  /** What the agent says, for those who replay a history. */
  readonly say: ((line: string) => void) | undefined;
}
