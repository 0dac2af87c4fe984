/** What penstock sets on the host at start, as kube-proxy does: kernel parameters. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import { ROUTE_LOCALNET } from '../dataplane/iptables/sysctls.js';
import { messageOf } from '../errors.js';
import type { Sysctls } from '../kernel/sysctl/Sysctls.js';
import { includesIpv4Loopback } from '../net/nodePortAddresses.js';

const HASH_SIZE = '/sys/module/nf_conntrack/parameters/hashsize';
/** More entries than this are never asked for on account of the number of CPUs. */
const CONNTRACK_CAP = 1_048_576;

/** A kernel parameter by its name with slashes, and what it should be. */
export type WantedSysctl = readonly [name: string, value: string];

/** What of the configuration becomes a kernel parameter when the agent starts. 0 leaves the kernel's value alone. */
export function conntrackSysctls({ conntrack }: Pick<NodeConfig, 'conntrack'>, cpus: number): WantedSysctl[] {
  const max = conntrackMax(conntrack, cpus);
  const seconds: readonly (readonly [name: string, milliseconds: number])[] = [
    ['nf_conntrack_tcp_timeout_established', conntrack.tcpEstablishedTimeout],
    ['nf_conntrack_tcp_timeout_close_wait', conntrack.tcpCloseWaitTimeout],
    ['nf_conntrack_udp_timeout', conntrack.udpTimeout],
    ['nf_conntrack_udp_timeout_stream', conntrack.udpStreamTimeout],
  ];
  const wanted: WantedSysctl[] = [
    ...(max > 0 ? [['nf_conntrack_max', String(max)] as const] : []),
    ...seconds
      .filter(([, milliseconds]) => milliseconds > 0)
      .map(([name, milliseconds]) => [name, String(Math.floor(milliseconds / 1000))] as const),
    ...(conntrack.tcpBeLiberal ? [['nf_conntrack_tcp_be_liberal', '1'] as const] : []),
  ];
  return wanted.map(([name, value]) => [`net/netfilter/${name}`, value]);
}

/** What the mode sets later by itself, when it may; --init-only sets it for an agent that may not. */
export function modeSysctls({
  mode,
  localhostNodePorts,
  nodePortAddresses,
}: Pick<NodeConfig, 'mode' | 'localhostNodePorts' | 'nodePortAddresses'>): WantedSysctl[] {
  const wants =
    mode === 'iptables' && localhostNodePorts && includesIpv4Loopback(nodePortAddresses, undefined);
  return wants ? [[ROUTE_LOCALNET, '1']] : [];
}

/**
 * kube-proxy gives up when a conntrack parameter cannot be set. Here that is a warning: a node with the kernel's own limits
 * serves, one without a Service proxy does not.
 */
export function tuneConntrack(config: Pick<NodeConfig, 'conntrack'>, sysctls: Sysctls, log: Logger): void {
  const cpus = cpuCount();
  setSysctls(conntrackSysctls(config, cpus), sysctls, log);
  const max = conntrackMax(config.conntrack, cpus);
  if (max > 0) growConntrackHash(max, log);
}

export function setSysctls(wanted: readonly WantedSysctl[], sysctls: Sysctls, log: Logger): void {
  for (const [name, value] of wanted) {
    try {
      sysctls.ensure(name, value);
    } catch (error) {
      log.warn({ err: error }, messageOf(error));
    }
  }
}

/** Entries, or 0 to leave the kernel's limit alone. The cap applies before the floor. */
export function conntrackMax(
  limits: { readonly maxPerCore: number; readonly min: number },
  cpus: number,
): number {
  if (limits.maxPerCore <= 0) return 0;
  const scaled = limits.maxPerCore * cpus;
  return scaled > CONNTRACK_CAP ? CONNTRACK_CAP : Math.max(scaled, limits.min);
}

/** CPUs of the machine, not those that a cgroup grants us. */
export function cpuCount(): number {
  try {
    return Math.max(1, readdirSync('/sys/devices/system/cpu').filter((name) => /^cpu\d+$/.test(name)).length);
  } catch {
    return 1;
  }
}

/** Four entries a bucket, as the kernel's own default. Outside the first network namespace it cannot be written. */
function growConntrackHash(max: number, log: Logger): void {
  const wanted = Math.floor(max / 4);
  try {
    if (Number(readFileSync(HASH_SIZE, 'utf8')) < wanted) writeFileSync(HASH_SIZE, String(wanted));
  } catch (error) {
    log.warn(`the conntrack hash table cannot grow to ${wanted} buckets (${HASH_SIZE}): ${messageOf(error)}`);
  }
}
