/** A host for src/agent/serveNode.ts: what NodeHost.ts asks of a machine, answered by models. One for each process. */
import { EventEmitter } from 'node:events';
import { otherProxyRules } from '../../src/agent/leave/otherProxyRules.js';
import type { NodeHost } from '../../src/agent/NodeHost.js';
import type { CommandResult } from '../../src/kernel/xtables/runCommand.js';
import type { ApiServer } from '../../src/kubernetes/openApiServer.js';
import { NOTHING_TO_PREPARE } from '../../src/modes/ModeHost.js';
import { IP_FAMILIES } from '../../src/net/ip.js';
import { FlowLog } from '../../src/observe/flows/FlowLog.js';
import { FALLBACK, HOST_ADDRESSES } from './addresses.js';
import { NODE } from './Cluster.js';
import type { Mode } from './modes.js';
import { NoSysctls } from './NoSysctls.js';
import { OpenThings } from './OpenThings.js';
import { openSimulatedMode } from './openSimulatedMode.js';
import { removeOthers, removeOwnTables } from './removeOthers.js';
import type { World } from './World.js';

export interface SimulatedNodeHost extends NodeHost {
  readonly open: OpenThings;
  /** Delivers a signal to the process. */
  readonly signal: (name: 'SIGTERM' | 'SIGHUP') => void;
}

export function simulatedNodeHost(
  world: World,
  process: number,
  /** A mode opens. */
  opening: (mode: Mode) => void,
  /** The process ends itself. */
  exit: () => void,
): SimulatedNodeHost {
  const { host, time, chance, cluster } = world;
  const signals = new EventEmitter();
  const open = new OpenThings();
  const isAlive = () => host.isAlive(process);
  const sysctls = new NoSysctls();
  return {
    open,
    signal: (name) => signals.emit(name),
    clock: time,
    random: chance.random,
    sysctls,
    process: Object.assign(signals, { env: {}, pid: process, exit }) as unknown as NodeHost['process'],
    hostname: () => NODE,
    readFile: () => host.disk.config,
    holdNode: async () => ({ release: open.add('the lock of the node') }),
    probeKernel: async () => [],
    families: () => IP_FAMILIES,
    primaryAddresses: async () => FALLBACK,
    watchAddresses: async () => ({
      addresses: HOST_ADDRESSES,
      ignoreLink: () => {},
      onChange: undefined,
      close: open.add('the watch on addresses'),
    }),
    openApiServer: async () => {
      const close = open.add('the API server');
      const send = async () => {
        if (!isAlive()) await new Promise(() => {});
        if (cluster.isAway) throw new Error('connect ECONNREFUSED');
        return 201;
      };
      const api: ApiServer = {
        ...cluster.transport(isAlive),
        send,
        sendPatiently: async () => ({ status: await send(), retryAfterMs: 0 }),
        observer: undefined,
        close,
      };
      return api;
    },
    openMode: async (config, modeHost, listener, log) => {
      opening(config.mode || 'nftables');
      const dataplane = openSimulatedMode({ host, process, open }, config, modeHost, listener, log);
      return { dataplane, prepareHost: NOTHING_TO_PREPARE };
    },
    removeOtherModes: (config) =>
      removeOthers(host, process, config.mode || 'nftables', time).then(
        () => [],
        (error: unknown) => [`rules of another mode may be left: ${error}`],
      ),
    openConntrack: () => ({
      table: {
        selectsReplySource: () => false,
        list: async () => host.connections(process),
        delete: async () => 0,
      },
      close: open.add('the connection table'),
    }),
    openWaking: () => ({
      listener: { wanted: () => {}, timedOut: () => {} },
      close: open.add('the watch on idle Services'),
    }),
    openFlows: async ({ node }) => ({
      log: new FlowLog({
        node,
        names: () => {
          throw new TypeError('no packet fails here');
        },
        clock: time,
        date: () => time.date(),
      }),
      group: 0,
      close: open.add('the flow log'),
    }),
    openBalancer: async () => ({
      follower: undefined,
      ledOn: () => undefined,
      serving: () => {},
      report: () => 'there is none',
      close: open.add('the load balancer'),
    }),
    openAdmin: async () => ({ path: '', refreshNote: () => {}, close: open.add('the admin socket') }),
    setOomScore: () => {},
    heap: simulatedHeap(open),
    leaving: {
      hasNote: () => host.disk.hasLeaveNote,
      readOther: (own, areShared) =>
        otherProxyRules(own, areShared, (program) => programOf(world, process, program)),
      sharedChains: () => ({ areTheirs: async () => false, forget: async () => {} }),
      removeOwn: async (own) => {
        if (own !== 'nftables' && own !== 'userspace') throw new Error(`mode ${own} is not left here`);
        await removeOwnTables(host, process, own, time);
      },
    },
  };
}

/** Programs that show rules: this host has only those of iptables. */
async function programOf({ host }: World, process: number, program: string): Promise<CommandResult> {
  const family = program === 'iptables-save' ? 'IPv4' : program === 'ip6tables-save' ? 'IPv6' : undefined;
  const tool = host.tools(process).find((each) => each.family === family);
  if (!tool) throw Object.assign(new Error(`spawn ${program} ENOENT`), { code: 'ENOENT' });
  return { status: 0, stdout: await tool.saveAll(), stderr: '' };
}

/** It must not grow for good. */
function simulatedHeap(open: OpenThings): NodeHost['heap'] {
  let close = async () => {};
  return {
    grow: () => {
      close = open.add('a heap that grows');
    },
    keepSmall: () => void close(),
    compileSoon: () => {},
    giveBack: () => {},
  };
}
