/** Modes with what a simulated host has in place of a kernel; their options are those of src/modes. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../src/config/NodeConfig.js';
import type { Dataplane, DataplaneListener } from '../../src/dataplane/Dataplane.js';
import { IptablesDataplane } from '../../src/dataplane/iptables/IptablesDataplane.js';
import { IpvsDataplane } from '../../src/dataplane/ipvs/IpvsDataplane.js';
import { isNotOurs, TABLE } from '../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane } from '../../src/dataplane/nftables/NftablesDataplane.js';
import { CAPTURE_TABLE } from '../../src/dataplane/userspace/CaptureView.js';
import { NOTHING_KNOWN } from '../../src/dataplane/userspace/encodeServices.js';
import { UserspaceDataplane } from '../../src/dataplane/userspace/UserspaceDataplane.js';
import { readGeneration } from '../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../src/kernel/nftables/table/NftablesTable.js';
import { TableWatch } from '../../src/kernel/nftables/table/TableWatch.js';
import { iptablesOptions } from '../../src/modes/iptablesMode.js';
import { ipvsOptions } from '../../src/modes/ipvsMode.js';
import type { ModeHost } from '../../src/modes/ModeHost.js';
import { nftablesOptions } from '../../src/modes/nftablesMode.js';
import { captureOptions } from '../../src/modes/userspaceMode.js';
import { IP_FAMILIES } from '../../src/net/ip.js';
import { CELL_BYTES, FakeEngine } from '../support/FakeEngine.js';
import { FALLBACK } from './addresses.js';
import type { OpenThings } from './OpenThings.js';
import type { SimulatedHost } from './SimulatedHost.js';

export interface ModeWorld {
  readonly host: SimulatedHost;
  readonly process: number;
  readonly open: OpenThings;
}

export function openSimulatedMode(
  world: ModeWorld,
  config: NodeConfig,
  modeHost: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Dataplane {
  const { host, process } = world;
  const { clock, addresses, sysctls } = modeHost;
  switch (config.mode) {
    case 'nftables':
      return openTable(world, modeHost, TABLE, nftablesOptions(config), listener);
    case 'ipvs':
      return new IpvsDataplane(
        ipvsOptions(config),
        {
          description: 'IPVS',
          kernels: host.ipvsKernels(process),
          addresses,
          clock,
          randomFully: true,
          localhostPorts: () => ({ tcp: 40_001, udp: 40_002 }),
          rulesState: async () => String(host.ruleCommits()),
          close: world.open.add('IPVS'),
        },
        listener,
      );
    case 'userspace': {
      const engine = new FakeEngine([], CELLS);
      return new UserspaceDataplane(
        {
          families: IP_FAMILIES,
          udpIdleTimeout: 250,
          drainTimeout: undefined,
          sourceAddress: 'node',
          shutdownTimeout: 0,
          takeoverPath: '',
        },
        {
          engine,
          capture: (heard) => openTable(world, modeHost, CAPTURE_TABLE, captureOptions(config), heard),
          address: (family) => FALLBACK[family],
          facts: () => NOTHING_KNOWN,
          divert: async () => {},
          say: (level, text) => log[level](text),
          clock,
        },
        listener,
      );
    }
    default:
      return new IptablesDataplane(
        iptablesOptions(config),
        {
          tools: host.tools(process),
          sysctls,
          clock,
          createCounters: async () => true,
          readCounters: async () => new Map(),
          watch: {
            state: async () => String(host.ruleCommits()),
            isOurs: (before, after, transactions) => Number(after) === Number(before) + transactions,
          },
          close: world.open.add('iptables'),
          addresses,
        },
        listener,
      );
  }
}

/** Counters of the engine, which nobody counts up here: 16 MB that are made once. */
const CELLS = new ArrayBuffer(CELL_BYTES);

function openTable(
  { host, process }: ModeWorld,
  { clock, addresses }: ModeHost,
  name: string,
  options: ReturnType<typeof nftablesOptions>,
  listener: DataplaneListener,
): NftablesDataplane {
  const channel = host.channel(process, clock);
  const watching = host.channel(process, clock);
  return new NftablesDataplane(
    options,
    {
      tables: IP_FAMILIES.map((family) => new NftablesTable(channel, family, name)),
      addresses,
      clock,
      watch: (handlers) => {
        new TableWatch(watching, { table: name, ownPort: channel.portId, ignores: isNotOurs, ...handlers });
      },
      generation: () => readGeneration(channel),
      localhostPorts: () => ({ tcp: 40_001, udp: 40_002 }),
      close: async () => {
        watching.close();
        channel.close();
      },
    },
    listener,
  );
}
