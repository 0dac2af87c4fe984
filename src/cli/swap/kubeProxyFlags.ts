/** How the kube-proxy of this node was called. */
import type { ModelFlags } from '../see/modelFlags.js';
import { filesOfProcess } from './filesOfProcess.js';
import { kubeProxyProcess } from './kubeProxyProcess.js';

const FLAG = /^--(config|kubeconfig|hostname-override|cluster-cidr)(?:=(.*))?$/;

/**
 * Of a process kube-proxy in this network namespace, its files as it names them and where they are for this process; none when there
 * is no such process. `proc`: where procfs is.
 */
export function kubeProxyFlags(proc = '/proc'): ModelFlags {
  const found = kubeProxyProcess(proc);
  if (found === undefined) return {};
  const { pid, flags: words } = found;
  const flags: Record<string, string> = {};
  for (const [i, word] of words.entries()) {
    const [, name, value = words[i + 1] ?? ''] = FLAG.exec(word) ?? [];
    if (name === 'hostname-override') flags.node = value;
    else if (name !== undefined) flags[name] = value;
  }
  return { ...flags, filesAt: filesOfProcess(`${proc}/${pid}`) };
}
