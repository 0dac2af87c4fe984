/** Whether a kube-proxy serves this node, and in which mode: asked at its port, looked for among processes, and by its rules. */
import { isUnspecified } from '../../net/ip.js';
import { type KubeProxyProcess, kubeProxyProcess } from '../swap/kubeProxyProcess.js';
import { isKubeProxyMode, KUBE_PROXY, type KubeProxyMode, kubeProxyMode } from './kubeProxyMode.js';
import { type KubeProxyRules, kubeProxyRules } from './kubeProxyRules.js';

export type KubeProxyFound =
  | { readonly type: 'serves'; readonly mode: KubeProxyMode }
  /** No port, no process and no rule of one; all of that was looked at. */
  | { readonly type: 'nobody' }
  /** One may serve here. `why`: a sentence. */
  | { readonly type: 'unclear'; readonly why: string };

export interface KubeProxySigns {
  readonly ask: typeof kubeProxyMode;
  readonly process: () => KubeProxyProcess | undefined;
  readonly rules: () => Promise<KubeProxyRules>;
}

const SIGNS: KubeProxySigns = {
  ask: kubeProxyMode,
  process: kubeProxyProcess,
  rules: () => kubeProxyRules(),
};

/** Never rejects. */
export async function findKubeProxy(signs: KubeProxySigns = SIGNS): Promise<KubeProxyFound> {
  const { ask, process, rules } = signs;
  const said = await ask(KUBE_PROXY);
  if (isKubeProxyMode(said)) return { type: 'serves', mode: said };
  const running = process();
  if (running) return ofProcess(running, ask);
  if (said === 'unclear')
    return {
      type: 'unclear',
      why: `what listens on ${KUBE_PROXY.host}:${KUBE_PROXY.port} does not say what it is`,
    };
  const { found, unseen } = await rules();
  const [first, ...more] = found;
  if (first === undefined)
    return unseen.length === 0 ? { type: 'nobody' } : { type: 'unclear', why: unseen.join('; ') };
  const others = more.length > 0 ? ` (and ${more.join(', ')})` : '';
  return {
    type: 'unclear',
    why: `${first}${others} is here, which only a kube-proxy writes, and none answers`,
  };
}

/** Its own word comes before that of its configuration. */
async function ofProcess(
  { pid, called }: KubeProxyProcess,
  ask: KubeProxySigns['ask'],
): Promise<KubeProxyFound> {
  const unclear = {
    type: 'unclear',
    why: `kube-proxy runs (pid ${pid}), and its mode is not known`,
  } as const;
  if (called === undefined) return unclear;
  const { host, port } = called.metrics;
  const said = await ask({
    host: isUnspecified(host) ? (host.includes(':') ? '::1' : '127.0.0.1') : host,
    port,
  });
  const mode = isKubeProxyMode(said) ? said : called.mode;
  return isKubeProxyMode(mode) ? { type: 'serves', mode } : unclear;
}
