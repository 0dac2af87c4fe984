/** Which mode the kube-proxy of this node is in, as it says itself on its metrics port. */
import { get } from 'node:http';

const MODES = ['nftables', 'iptables', 'ipvs'] as const;
export type KubeProxyMode = (typeof MODES)[number];

/** kube-proxy's metricsBindAddress, unless its configuration has another. */
const WHERE = { host: '127.0.0.1', port: 10_249, path: '/proxyMode' };
/** Milliseconds. */
const PATIENCE_MS = 1000;
const MOST_BYTES = 64;

export function isKubeProxyMode(text: string): text is KubeProxyMode {
  return MODES.some((mode) => mode === text);
}

/** Undefined: nobody answers there, or not with a mode. Nothing but penstock and kube-proxy has this path. */
export function kubeProxyMode(where = WHERE): Promise<KubeProxyMode | undefined> {
  return new Promise((resolve) => {
    const request = get({ ...where, timeout: PATIENCE_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MOST_BYTES) request.destroy();
      });
      response.on('end', () => {
        const mode = text.trim();
        resolve(response.statusCode === 200 && isKubeProxyMode(mode) ? mode : undefined);
      });
      response.on('close', () => resolve(undefined));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}
