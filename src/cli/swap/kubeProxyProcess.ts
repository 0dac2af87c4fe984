/** The kube-proxy that runs as a process of its own in this network namespace, and how it was called. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseRunCommand } from '../../config/flags/parseRunCommand.js';
import { type HostPort, parseHostPort } from '../../config/hostPort.js';
import { readConfigFile } from '../../config/readConfigText.js';
import { attempt } from '../../errors.js';
import { mayServe } from '../../host/privileges.js';
import { filesOfProcess } from './filesOfProcess.js';

export interface KubeProxyProcess {
  readonly pid: number;
  /** The flags, without the name of the program. */
  readonly flags: readonly string[];
  /** Of its configuration; undefined where that cannot be read, or is not taken. */
  readonly called: { readonly mode: string; readonly metrics: HostPort } | undefined;
}

/**
 * As far as this process sees those of others; of one that it may not look at, nothing but the pid. Only one of root's that runs a program
 * of that name and may change this network counts: what it was called with is read, and believed, as root. `proc`: where procfs is.
 */
export function kubeProxyProcess(proc = '/proc'): KubeProxyProcess | undefined {
  const here = attempt(() => readlinkSync(`${proc}/self/ns/net`));
  let unseen: KubeProxyProcess | undefined;
  for (const name of readdirSync(proc).filter((each) => /^\d+$/.test(each))) {
    const pid = Number(name);
    const words = attempt(() => readFileSync(`${proc}/${name}/cmdline`, 'utf8'))
      ?.split('\0')
      .filter(Boolean);
    if (!/(^|\/)kube-proxy$/.test(words?.[0] ?? '')) continue;
    const may = mayServe(pid, proc);
    if (may === 'no') continue;
    const [there, program] = ['ns/net', 'exe'].map((link) =>
      attempt(() => readlinkSync(`${proc}/${name}/${link}`)),
    );
    if (may === 'unknown' || there === undefined || program === undefined) {
      unseen ??= { pid, flags: [], called: undefined };
      continue;
    }
    // The first word is the caller's choice, also that of a program with the set-user-ID bit.
    if (there !== here || !/\/kube-proxy( \(deleted\))?$/.test(program)) continue;
    const from = words?.findIndex((word) => word.startsWith('-')) ?? -1;
    const flags = from < 0 ? [] : (words?.slice(from) ?? []);
    return { pid, flags, called: attempt(() => readCall(flags, filesOfProcess(`${proc}/${name}`))) };
  }
  return unseen;
}

/** Its files are seen through its own root. Throws what is wrong with them. */
function readCall(flags: readonly string[], filesAt: (path: string) => string): KubeProxyProcess['called'] {
  const command = parseRunCommand(flags, {
    readFile: (path) => readConfigFile(filesAt(path)),
    hostname,
  });
  const metrics = command.type === 'run' ? parseHostPort(command.source.metricsBindAddress) : undefined;
  // Without a mode, kube-proxy on Linux takes this one.
  return command.type === 'run' && metrics ? { mode: command.source.mode || 'iptables', metrics } : undefined;
}
