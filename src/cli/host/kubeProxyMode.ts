/** The kube-proxy that serves this node, asked how it does. */
import { get } from 'node:http';

const MODES = ['nftables', 'iptables', 'ipvs'] as const;
export type KubeProxyMode = (typeof MODES)[number];

/** kube-proxy's metricsBindAddress, unless its configuration has another. */
export const KUBE_PROXY = { host: '127.0.0.1', port: 10_249 };
/** Milliseconds. */
const PATIENCE_MS = 1000;
const MOST_BYTES = 4096;

export function isKubeProxyMode(text: string): text is KubeProxyMode {
  return MODES.some((mode) => mode === text);
}

/**
 * `nobody`: nothing listens there, or it is a penstock, which has the same pages and calls itself so. `unclear`: something does, and
 * does not say what it is.
 */
export async function kubeProxyMode(where = KUBE_PROXY): Promise<KubeProxyMode | 'nobody' | 'unclear'> {
  const [mode, itself] = await Promise.all([page(where, '/proxyMode'), page(where, '/statusz')]);
  if (mode === 'nobody') return 'nobody';
  if (mode === 'unclear' || typeof itself === 'string') return 'unclear';
  if (itself.text.trimStart().startsWith('penstock ')) return 'nobody';
  const text = mode.text.trim();
  return mode.status === 200 && isKubeProxyMode(text) ? text : 'unclear';
}

type Answer = { readonly status: number; readonly text: string } | 'nobody' | 'unclear';

/** Never rejects. */
export function page(where: typeof KUBE_PROXY, path: string): Promise<Answer> {
  return new Promise((resolve) => {
    const request = get({ ...where, path, signal: AbortSignal.timeout(PATIENCE_MS) }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MOST_BYTES) request.destroy();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', () => resolve('unclear'));
      response.on('close', () => resolve('unclear'));
    });
    request.on('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ECONNREFUSED' ? 'nobody' : 'unclear'),
    );
  });
}
