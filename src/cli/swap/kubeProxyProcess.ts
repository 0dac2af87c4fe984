/** The kube-proxy that runs as a process of its own in this network namespace, and how it was called. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseRunCommand } from '../../config/flags/parseRunCommand.js';
import { type HostPort, parseHostPort } from '../../config/hostPort.js';
import { readConfigFile } from '../../config/readConfigText.js';

export interface KubeProxyProcess {
  readonly pid: number;
  /** The flags, without the name of the program. */
  readonly flags: readonly string[];
  /** Of its configuration; undefined where that cannot be read, or is not taken. */
  readonly called: { readonly mode: string; readonly metrics: HostPort } | undefined;
}

/** As far as this process sees those of others. `proc`: where procfs is. */
export function kubeProxyProcess(proc = '/proc'): KubeProxyProcess | undefined {
  const here = attempt(() => readlinkSync(`${proc}/self/ns/net`));
  for (const name of readdirSync(proc).filter((each) => /^\d+$/.test(each))) {
    const read = (path: string) => attempt(() => readFileSync(path, 'utf8'));
    const words = read(`${proc}/${name}/cmdline`)?.split('\0').filter(Boolean) ?? [];
    if (!/(^|\/)kube-proxy$/.test(words[0] ?? '')) continue;
    // Where it may not be asked for, it counts as here.
    const there = attempt(() => readlinkSync(`${proc}/${name}/ns/net`));
    if (there !== undefined && there !== here) continue;
    const from = words.findIndex((word) => word.startsWith('-'));
    const flags = from < 0 ? [] : words.slice(from);
    return { pid: Number(name), flags, called: attempt(() => readCall(flags, `${proc}/${name}/root`)) };
  }
  return undefined;
}

/** Its files are seen through its own root. Throws what is wrong with them. */
function readCall(flags: readonly string[], root: string): KubeProxyProcess['called'] {
  const command = parseRunCommand(flags, {
    readFile: (path) => readConfigFile(`${root}/${path}`),
    hostname,
  });
  const metrics = command.type === 'run' ? parseHostPort(command.source.metricsBindAddress) : undefined;
  // Without a mode, kube-proxy on Linux takes this one.
  return command.type === 'run' && metrics ? { mode: command.source.mode || 'iptables', metrics } : undefined;
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
