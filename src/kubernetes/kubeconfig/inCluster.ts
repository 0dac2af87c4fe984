/** The connection of a pod: environment and mounted service account. */
import { type Connection, NOBODY } from './Connection.js';

export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** undefined outside of a pod. `folder` holds token and ca.crt. */
export function inCluster(env: NodeJS.ProcessEnv, folder: string): Connection | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host || !port) return undefined;
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: { type: 'file', path: `${folder}/ca.crt` },
    tlsServerName: undefined,
    verify: 'certificate',
    proxy: undefined,
    compression: 'gzip',
    user: { ...NOBODY, token: { type: 'file', path: `${folder}/token` } },
  };
}
