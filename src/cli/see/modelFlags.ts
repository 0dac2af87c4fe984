/** Flags of the commands that can look without an agent. Apart from what they lead to: to load that takes as long as to ask an agent. */
import type { Mode } from '../../explain/World.js';
import { WrongCall } from '../readArguments.js';

export const MODES: readonly Mode[] = ['nftables', 'iptables', 'ipvs', 'userspace'];

/** Flags of the commands that can look without an agent. */
export const MODEL_FLAGS = {
  manifests: { type: 'string' },
  config: { type: 'string' },
  kubeconfig: { type: 'string' },
  'cluster-cidr': { type: 'string' },
  node: { type: 'string' },
  'node-address': { type: 'string', multiple: true },
  mode: { type: 'string' },
} as const;

export interface ModelFlags {
  readonly manifests?: string | undefined;
  readonly config?: string | undefined;
  readonly kubeconfig?: string | undefined;
  readonly 'cluster-cidr'?: string | undefined;
  readonly node?: string | undefined;
  readonly 'node-address'?: readonly string[] | undefined;
  readonly mode?: string | undefined;
  /**
   * Where the files are for this process, when another one named them: also those that they name themselves. Then they are plain
   * files, and no program that they name is run.
   */
  readonly filesAt?: (path: string) => string;
}

export const MODEL_HELP = `Without a running agent, or to ask about other objects than its:
  --manifests PATH       folder or file of Services, EndpointSlices, Nodes
  --config FILE          KubeProxyConfiguration of the node (mode, clusterCIDR, …)
  --kubeconfig FILE      ask the API server
  --mode MODE            nftables, iptables, ipvs or userspace
  --node NAME            whose view; default: this host's
  --node-address IP      an address of that node; may be repeated
  --cluster-cidr CIDR    where pods have their addresses
`;

/** Whether the call says itself where objects come from: then no agent is asked. */
export function namesSource(flags: ModelFlags): boolean {
  return flags.manifests !== undefined || flags.kubeconfig !== undefined || flags.config !== undefined;
}

export function modeFlag(text: string | undefined): Mode | undefined {
  const mode = MODES.find((known) => known === text);
  if (text !== undefined && mode === undefined)
    throw new WrongCall(`there is no mode ${JSON.stringify(text)}`, `There are ${MODES.join(', ')}.`);
  return mode;
}
