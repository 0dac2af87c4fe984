/** The way to the API server that the configuration asks for. */

import { PenstockError } from '../errors.js';
import { isWebAddress } from '../net/webAddress.js';
import { systemClock } from '../time/Clock.js';
import type { ApiClient } from './http/ApiClient.js';
import { type Connection, NOBODY } from './kubeconfig/Connection.js';
import { Credentials } from './kubeconfig/Credentials.js';
import { inCluster, SERVICE_ACCOUNT } from './kubeconfig/inCluster.js';
import { readKubeconfig } from './kubeconfig/readKubeconfig.js';

export interface ApiServerChoice {
  /** Path; '' for none. */
  readonly kubeconfig: string;
  /** URL that wins over the kubeconfig's; '' for none. */
  readonly master: string;
  readonly userAgent: string;
  /** Given for a kubeconfig that another process names: where its files are for this one. It must not have a program run. */
  readonly filesAt?: (path: string) => string;
}

export type ApiServer = Pick<ApiClient, keyof ApiClient>;

/** Throws PENSTOCK_NO_SOURCE when nothing names one, and PenstockError for a kubeconfig or URL that cannot be used. */
export async function openApiServer(
  choice: ApiServerChoice,
  env: NodeJS.ProcessEnv,
  clock = systemClock,
): Promise<ApiServer> {
  const connection = await chooseConnection(choice, env);
  if (connection === undefined) throw noSource();
  // Its HTTP client is the largest part of penstock, and of no use to a node that reads manifests.
  const { ApiClient } = await import('./http/ApiClient.js');
  return new ApiClient(connection, new Credentials(connection, () => clock.date()), choice.userAgent, clock);
}

/** As openApiServer() would begin, without reading a file. */
export function requireApiServer({ kubeconfig, master }: ApiServerChoice, env: NodeJS.ProcessEnv): void {
  if (kubeconfig === '' && master === '' && !env.KUBERNETES_SERVICE_HOST) throw noSource();
}

function noSource(): PenstockError {
  return new PenstockError('PENSTOCK_NO_SOURCE', 'there is nothing to take Services from', {
    remedy:
      'Give --kubeconfig or --master, run it as a pod of the cluster, or give manifests: penstock run --manifests PATH.',
  });
}

/** As client-go: a kubeconfig or --master, or else the pod that we are. */
async function chooseConnection(
  { kubeconfig, master, filesAt }: ApiServerChoice,
  env: NodeJS.ProcessEnv,
): Promise<Connection | undefined> {
  if (master !== '' && !isWebAddress(master)) {
    throw new PenstockError(
      'PENSTOCK_MASTER_INVALID',
      `--master is ${JSON.stringify(master)}, which is no URL`,
      {
        remedy: 'Give one such as https://10.0.0.1:6443.',
      },
    );
  }
  if (kubeconfig !== '') return readKubeconfig(kubeconfig, master, filesAt);
  if (master === '') return inCluster(env, SERVICE_ACCOUNT);
  const server = master.replace(/\/+$/, '');
  return {
    server,
    ca: undefined,
    tlsServerName: undefined,
    verify: 'certificate',
    proxy: undefined,
    compression: 'gzip',
    user: NOBODY,
  };
}
