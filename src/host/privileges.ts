/** What this process may do, and what of it the configuration asks for. Capabilities: linux/capability.h. */
import { accessSync, constants, existsSync, readFileSync, readlinkSync } from 'node:fs';
import type { NodeConfig } from '../config/NodeConfig.js';
import { PenstockError } from '../errors.js';

/** Bits of the masks in /proc/self/status. */
export const CAPABILITIES = {
  DAC_READ_SEARCH: 2n,
  NET_BIND_SERVICE: 10n,
  NET_ADMIN: 12n,
  NET_RAW: 13n,
  SYS_MODULE: 16n,
  BPF: 39n,
} as const;

export type Capability = keyof typeof CAPABILITIES;

/** How the checks see the process. */
export interface ProcessView {
  readonly capabilities: ReadonlySet<Capability>;
  /** Bits of all capabilities in force. */
  readonly mask: bigint;
  /** Below it a port needs NET_BIND_SERVICE. */
  readonly firstFreePort: number;
  readonly canWrite: (path: string) => boolean;
}

export function thisProcess(): ProcessView {
  const status = readFileSync('/proc/self/status', 'utf8');
  return {
    capabilities: heldCapabilities(status),
    mask: effectiveMask(status),
    firstFreePort: Number(readIfThere('/proc/sys/net/ipv4/ip_unprivileged_port_start') ?? 1024),
    canWrite,
  };
}

/** Of the text of /proc/PID/status: those in force. */
export function heldCapabilities(status: string): ReadonlySet<Capability> {
  const mask = effectiveMask(status);
  const names = Object.keys(CAPABILITIES) as Capability[];
  return new Set(names.filter((name) => (mask >> CAPABILITIES[name]) & 1n));
}

/**
 * Whether a process is root's and may change this network: anybody may give a process any name. `no` for one that has ended too. Whoever
 * makes a user namespace has all capabilities in it, so it must be in ours; `unknown`: this process may not look. `proc`: where procfs is.
 */
export function mayServe(pid: number, proc = '/proc'): 'yes' | 'no' | 'unknown' {
  const status = readIfThere(`${proc}/${pid}/status`) ?? '';
  // Real, effective, saved, of files: a program with the set-user-ID bit keeps its caller's as the real one.
  if (!/^Uid:\s*0\s+0\s+0\s+0\s*$/m.test(status) || !heldCapabilities(status).has('NET_ADMIN')) return 'no';
  try {
    const [theirs, ours] = [pid, 'self'].map((of) => readlinkSync(`${proc}/${of}/ns/user`));
    return theirs === ours ? 'yes' : 'no';
  } catch {
    return 'unknown';
  }
}

function effectiveMask(status: string): bigint {
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
}

/** `iptables -w` takes it; iptables-nft does not need it. */
const XTABLES_LOCK = '/run/xtables.lock';

/** One line for each thing that is missing, as far as the configuration tells. */
export function missingPrivileges(
  config: Pick<NodeConfig, 'mode' | 'iptablesBackend' | 'healthz' | 'metrics'>,
  view: ProcessView,
): readonly string[] {
  const missing: string[] = [];
  if (!view.capabilities.has('NET_ADMIN')) missing.push('CAP_NET_ADMIN: the kernel takes no rule without it');
  if ((config.mode === 'iptables' || config.mode === 'ipvs') && config.iptablesBackend === 'legacy')
    missing.push(...missingForLegacy(view));
  for (const [field, server] of [
    ['healthzBindAddress', config.healthz],
    ['metricsBindAddress', config.metrics],
  ] as const) {
    if (!server || server.port >= view.firstFreePort || view.capabilities.has('NET_BIND_SERVICE')) continue;
    missing.push(
      `CAP_NET_BIND_SERVICE: ${field} has port ${server.port}, below ${view.firstFreePort} (net.ipv4.ip_unprivileged_port_start)`,
    );
  }
  return missing;
}

/** Even to see what is there. */
export function missingForCleanup(view: ProcessView): readonly string[] {
  return view.capabilities.has('NET_ADMIN')
    ? []
    : ['CAP_NET_ADMIN: the kernel shows and takes no rule without it'];
}

/** What iptables-legacy needs beyond NET_ADMIN: its tables are read and written through a raw socket. */
export function missingForLegacy(view: ProcessView): readonly string[] {
  const missing: string[] = [];
  if (!view.capabilities.has('NET_RAW')) missing.push('CAP_NET_RAW: iptables-legacy opens a raw socket');
  if (!view.canWrite(XTABLES_LOCK))
    missing.push(`${XTABLES_LOCK}: iptables-legacy locks it against others, and it cannot be written`);
  return missing;
}

/** Throws PENSTOCK_NOT_PRIVILEGED with all of the list. */
export function requireAll(missing: readonly string[]): void {
  if (missing.length === 0) return;
  const list = missing.map((line) => `\n  ${line}`).join('');
  throw new PenstockError('PENSTOCK_NOT_PRIVILEGED', `this process lacks what it needs:${list}`, {
    remedy:
      'Run it as root, or with these capabilities (docs/privileges.md); `penstock render` and --dry-run need none.',
  });
}

function canWrite(path: string): boolean {
  try {
    accessSync(existsSync(path) ? path : path.slice(0, path.lastIndexOf('/')), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
