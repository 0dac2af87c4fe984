import { NodeLock } from '../../host/NodeLock.js';
import { AgentClient } from '../see/AgentClient.js';
import { KUBE_PROXY, page } from './kubeProxyMode.js';

/** Of the penstock that serves this network namespace; undefined where there is none, or it does not say. */
export async function servingMode(): Promise<string | undefined> {
  if (NodeLock.holder() === undefined) return undefined;
  const agent = await AgentClient.find().catch(() => undefined);
  if (agent !== undefined) return agent.status.mode;
  // Where its socket is not seen, as from another container.
  const [itself, mode] = await Promise.all([page(KUBE_PROXY, '/statusz'), page(KUBE_PROXY, '/proxyMode')]);
  const isPenstock = typeof itself !== 'string' && itself.text.trimStart().startsWith('penstock ');
  return isPenstock && typeof mode !== 'string' ? mode.text.trim() : undefined;
}
