/** How the kube-proxy of this node was called. */
import { readdirSync, readFileSync } from 'node:fs';
import type { ModelFlags } from '../see/modelFlags.js';

const FLAG = /^--(config|kubeconfig|hostname-override|cluster-cidr)(?:=(.*))?$/;

/** Of a process kube-proxy on this machine, its files seen through its own root; {} when there is none. */
export function kubeProxyFlags(): ModelFlags {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const words = read(`/proc/${pid}/cmdline`)?.split('\0').filter(Boolean) ?? [];
    if (!/(^|\/)kube-proxy$/.test(words[0] ?? '')) continue;
    const flags: Record<string, string> = {};
    for (const [i, word] of words.entries()) {
      const [, name, value = words[i + 1] ?? ''] = FLAG.exec(word) ?? [];
      if (name === 'hostname-override') flags.node = value;
      else if (name !== undefined)
        flags[name] = name === 'cluster-cidr' ? value : `/proc/${pid}/root${value}`;
    }
    return flags;
  }
  return {};
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
