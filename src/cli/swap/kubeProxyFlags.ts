/** How the kube-proxy of this node was called. */
import type { ModelFlags } from '../see/modelFlags.js';
import { kubeProxyProcess } from './kubeProxyProcess.js';

const FLAG = /^--(config|kubeconfig|hostname-override|cluster-cidr)(?:=(.*))?$/;

/** Of a process kube-proxy in this network namespace, its files seen through its own root; none when there is no such process. */
export function kubeProxyFlags(): ModelFlags {
  const found = kubeProxyProcess();
  if (found === undefined) return {};
  const { pid, flags: words } = found;
  const flags: Record<string, string> = {};
  for (const [i, word] of words.entries()) {
    const [, name, value = words[i + 1] ?? ''] = FLAG.exec(word) ?? [];
    if (name === 'hostname-override') flags.node = value;
    else if (name !== undefined) flags[name] = name === 'cluster-cidr' ? value : `/proc/${pid}/root${value}`;
  }
  return { ...flags, files: 'of another process' };
}
