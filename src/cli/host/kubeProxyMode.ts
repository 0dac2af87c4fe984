/** Which mode the kube-proxy of this node is in, as it says itself on its metrics port. */
import { get } from 'node:http';

const MODES = ['nftables', 'iptables', 'ipvs'] as const;
export type KubeProxyMode = (typeof MODES)[number];

/** kube-proxy's metricsBindAddress, unless its configuration has another. */
const WHERE = { host: '127.0.0.1', port: 10_249 };
/** Milliseconds. */
const PATIENCE_MS = 1000;
const MOST_BYTES = 4096;

export function isKubeProxyMode(text: string): text is KubeProxyMode {
  return MODES.some((mode) => mode === text);
}

/** Undefined: nobody answers there, or not with a mode, or it is a penstock, which has the same pages and calls itself so. */
export async function kubeProxyMode(where = WHERE): Promise<KubeProxyMode | undefined> {
  const [mode = '', itself = ''] = await Promise.all([page(where, '/proxyMode'), page(where, '/statusz')]);
  const isPenstock = itself.trimStart().startsWith('penstock ');
  return !isPenstock && isKubeProxyMode(mode.trim()) ? (mode.trim() as KubeProxyMode) : undefined;
}

/** Undefined: no such page. Never rejects. */
function page(where: typeof WHERE, path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get({ ...where, path, timeout: PATIENCE_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MOST_BYTES) request.destroy();
      });
      response.on('end', () => resolve(response.statusCode === 200 ? text : undefined));
      response.on('close', () => resolve(undefined));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}
