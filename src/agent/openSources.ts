/** Where Services come from: a folder of manifests, or else the API server. */

import type { Logger } from 'pino';
import type { Run } from '../config/flags/parseRunCommand.js';
import type { NodeConfig } from '../config/NodeConfig.js';
import { KubernetesSource } from '../kubernetes/KubernetesSource.js';
import { ManifestSource } from '../kubernetes/manifests/ManifestSource.js';
import type { ObjectSource } from '../kubernetes/ObjectSource.js';
import {
  type ApiServer,
  type ApiServerChoice,
  openApiServer,
  requireApiServer,
} from '../kubernetes/openApiServer.js';
import { externalBalancerResources } from '../kubernetes/watch/resources.js';
import { type Clock, systemClock } from '../time/Clock.js';
import { PooledSource } from './addresses/PooledSource.js';
import { CheckedSource } from './checks/CheckedSource.js';
import { NodePortSource } from './external/NodePortSource.js';

export interface OpenedSources {
  readonly sources: readonly ObjectSource[];
  /** Undefined without an API server. */
  readonly apiServer: ApiServer | undefined;
}

export interface SourceHost {
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly openApiServer: (choice: ApiServerChoice) => Promise<ApiServer>;
}

export const THIS_HOST: SourceHost = {
  clock: systemClock,
  random: Math.random,
  openApiServer: (choice) => openApiServer(choice, process.env, systemClock),
};

/** Rejects with PenstockError when the kubeconfig cannot be used. Whoever calls it stops the sources. */
export async function openSources(
  { config, options }: Run,
  version: string,
  { clock, random, openApiServer: open }: SourceHost,
  log: Logger,
): Promise<OpenedSources> {
  const { manifests, nodeName, serviceProxyName } = config;
  const { serve: isExternal, addresses } = config.externalBalancer;
  const overNodes = (source: ObjectSource) => new NodePortSource(source, { clock, random, addresses });
  if (manifests !== '') {
    const folder = new PooledSource(new ManifestSource(manifests, undefined, clock));
    // In a cluster the kubelet checks; here nobody else does.
    const source = isExternal ? overNodes(folder) : new CheckedSource(folder, { clock, random });
    return { sources: [source], apiServer: undefined };
  }
  const transport = await open(apiServerChoice(config, options.master, version));
  const source = new KubernetesSource({
    transport,
    nodeName,
    serviceProxyName,
    ...(isExternal ? { resources: externalBalancerResources(serviceProxyName) } : {}),
    log,
    clock,
    random,
  });
  return { sources: [isExternal ? overNodes(source) : source], apiServer: transport };
}

/** Throws PENSTOCK_NO_SOURCE. */
export function requireSource({ config, options }: Run): void {
  if (config.manifests === '') requireApiServer(apiServerChoice(config, options.master, ''), process.env);
}

function apiServerChoice({ clientConnection }: NodeConfig, master: string, version: string): ApiServerChoice {
  return { kubeconfig: clientConnection.kubeconfig, master, userAgent: `penstock/${version}` };
}
