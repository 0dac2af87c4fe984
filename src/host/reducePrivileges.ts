/** Gives up the capabilities that the configuration does not need: in every thread, or by running this program once more. */
import type { NodeConfig } from '../config/NodeConfig.js';
import { messageOf } from '../errors.js';
import { nativeAddon } from '../kernel/addon/nativeAddon.js';
import { setOomScore } from './oomScore.js';
import { outOfReach } from './outOfReach.js';
import { CAPABILITIES, type Capability, type ProcessView } from './privileges.js';

/**
 * Set when it is done, also for a second run: what could not be given up by then never can. Its value is why more is kept than the modes
 * need.
 */
const DONE = 'PENSTOCK_REDUCED';

/** Whether it has been done, here or before this run. */
export function isReduced(): boolean {
  return process.env[DONE] !== undefined;
}

/** Once it is done: why more is kept than the modes need; '' when it is not. */
export function whyMoreIsKept(): string {
  return process.env[DONE] ?? '';
}

/** Without a mode iptables is what is left where the kernel cannot do nftables. */
const MODES_WITH_IPTABLES: readonly NodeConfig['mode'][] = ['iptables', 'ipvs', ''];

/** Those that root keeps, as bits. */
export function neededCapabilities(
  config: Pick<NodeConfig, 'mode' | 'iptablesBackend' | 'manifests' | 'healthz' | 'metrics'> & {
    readonly loadBalancer?: Pick<NodeConfig['loadBalancer'], 'announce'>;
    readonly userspace?: Pick<NodeConfig['userspace'], 'socketLookup'>;
  },
  firstFreePort: number,
): bigint {
  const needed: Capability[] = ['NET_ADMIN'];
  // iptables-legacy opens raw sockets, also to remove what it left on a node that changes its mode; the proxy has one to
  // tell clients of UDP services that nobody is there (ICMP).
  // ARP and neighbour discovery are answered from packet sockets.
  const announces = config.loadBalancer?.announce === true;
  if (config.iptablesBackend !== 'nft' || config.mode === 'userspace' || announces) needed.push('NET_RAW');
  if (config.mode === 'userspace' && config.userspace?.socketLookup === 'auto') needed.push('BPF');
  // And it loads its modules itself.
  if (MODES_WITH_IPTABLES.includes(config.mode) && config.iptablesBackend !== 'nft')
    needed.push('SYS_MODULE');
  // Manifests lie where an administrator keeps them: in a home folder, for example.
  if (config.manifests !== '') needed.push('DAC_READ_SEARCH');
  const ports = [config.healthz?.port, config.metrics.port];
  if (ports.some((port) => port !== undefined && port < firstFreePort)) needed.push('NET_BIND_SERVICE');
  return needed.reduce((mask, name) => mask | maskOf(name), 0n);
}

/**
 * `files`: what is read later on, besides manifests. Only for root, and before anything is open: the program may begin again.
 * Returns why more is kept than the modes need, or why nothing could be given up; '' when there is nothing to say.
 */
export function reducePrivileges(
  config: Parameters<typeof neededCapabilities>[0] & Pick<NodeConfig, 'oomScoreAdj'>,
  view: ProcessView,
  files: readonly string[] = [],
): string {
  const beyond = outOfReach(files, {
    uid: 0,
    gids: [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])],
  });
  const reading = beyond === undefined ? 0n : maskOf('DAC_READ_SEARCH');
  const needed = neededCapabilities(config, view.firstFreePort) | reading;
  const tooMany = view.mask & ~needed;
  if (process.getuid?.() !== 0 || tooMany === 0n || isReduced()) return '';
  process.env[DONE] =
    beyond === undefined ? '' : `CAP_DAC_READ_SEARCH is kept, to read what only its owner may: ${beyond}`;
  try {
    // What needs more than is kept; what it would say, the second run says.
    setOomScore(config.oomScoreAdj, () => {});
    const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    nativeAddon().reduceCapabilities(Number(needed), again);
    return whyMoreIsKept();
  } catch (error) {
    return `no capability is given up: ${messageOf(error)}`;
  }
}

function maskOf(capability: Capability): bigint {
  return 1n << CAPABILITIES[capability];
}
