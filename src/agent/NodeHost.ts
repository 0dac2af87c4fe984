/**
 * All that an agent opens, asks and changes of the host it runs on: everything else it puts together itself. There is one host, and
 * test/simulation has another, where whole histories of an agent take milliseconds.
 */

import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import { readConfigFile } from '../config/readConfigText.js';
import type { ConntrackTable } from '../dataplane/conntrack/ConntrackCleaner.js';
import type { Mode } from '../explain/World.js';
import { type Heap, heap } from '../host/heap.js';
import { hasLeaveNote } from '../host/leaveNote.js';
import { setOomScore } from '../host/oomScore.js';
import { Conntrack } from '../kernel/conntrack/Conntrack.js';
import { primaryAddresses } from '../kernel/host/hostAddresses.js';
import { hostFamilies } from '../kernel/host/hostFamilies.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { HostAddressWatch } from '../kernel/routes/HostAddressWatch.js';
import { Sysctls } from '../kernel/sysctl/Sysctls.js';
import { probeKernel } from '../modes/chooseMode.js';
import { openMode } from '../modes/openMode.js';
import { removeOtherModes } from '../modes/removing/removeOtherModes.js';
import type { IpFamily } from '../net/ip.js';
import type { NodeFacts } from '../routing/NodeFacts.js';
import { holdNode } from './holdNode.js';
import { otherProxyRules } from './leave/otherProxyRules.js';
import { removeOwn } from './leave/removeOwn.js';
import { SharedChains } from './leave/SharedChains.js';
import { openBalancer } from './openBalancer.js';
import { type SourceHost, THIS_HOST } from './openSources.js';
import { openAdmin } from './servers/openAdmin.js';
import { openFlows } from './servers/openFlows.js';
import { openWaking } from './wake/openWaking.js';

/** Answers of a dump that may wait for us: 40,000 entries are 10 MB. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

export interface NodeHost extends SourceHost {
  readonly sysctls: Sysctls;
  readonly process: Pick<NodeJS.Process, 'on' | 'off' | 'env' | 'pid'> & {
    /** Ends the process at once. */
    readonly exit: (status: number) => void;
  };
  readonly hostname: () => string;
  /** Throws as readConfigFile does. */
  readonly readFile: (path: string) => string;
  readonly holdNode: typeof holdNode;
  readonly probeKernel: typeof probeKernel;
  readonly families: () => readonly IpFamily[];
  readonly primaryAddresses: () => Promise<NodeFacts['addresses']>;
  readonly watchAddresses: () => Promise<
    Pick<HostAddressWatch, 'addresses' | 'ignoreLink' | 'close' | 'onChange'>
  >;
  readonly openMode: typeof openMode;
  readonly removeOtherModes: (config: NodeConfig, log: Logger) => Promise<readonly string[]>;
  /** The caller's to close. */
  readonly openConntrack: () => { readonly table: ConntrackTable; readonly close: () => void };
  readonly openFlows: typeof openFlows;
  readonly openBalancer: typeof openBalancer;
  readonly openAdmin: typeof openAdmin;
  readonly openWaking: typeof openWaking;
  readonly setOomScore: typeof setOomScore;
  readonly heap: Heap;
  readonly leaving: LeavingHost;
}

/** What Departure.ts asks and does. */
export interface LeavingHost {
  readonly hasNote: typeof hasLeaveNote;
  readonly readOther: (own: Mode, areShared: boolean) => ReturnType<typeof otherProxyRules>;
  readonly sharedChains: (
    backend: NodeConfig['iptablesBackend'],
  ) => Pick<SharedChains, 'areTheirs' | 'forget'>;
  readonly removeOwn: typeof removeOwn;
}

/** The one that this process runs on. */
export function thisHost(): NodeHost {
  const { clock } = THIS_HOST;
  const sysctls = new Sysctls();
  return {
    ...THIS_HOST,
    sysctls,
    process,
    hostname,
    readFile: readConfigFile,
    holdNode,
    probeKernel,
    families: hostFamilies,
    primaryAddresses,
    watchAddresses: () => HostAddressWatch.open(),
    openMode,
    removeOtherModes: (config, log) => removeOtherModes(config, sysctls, clock, log),
    openConntrack: () => {
      const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
        receiveBufferBytes: RECEIVE_BUFFER_BYTES,
        clock,
      });
      return { table: new Conntrack(channel), close: () => channel.close() };
    },
    openFlows,
    openBalancer,
    openAdmin,
    openWaking,
    setOomScore,
    heap,
    leaving: {
      hasNote: hasLeaveNote,
      readOther: (own, areShared) => otherProxyRules(own, areShared),
      sharedChains: (backend) => new SharedChains(backend),
      removeOwn,
    },
  };
}
