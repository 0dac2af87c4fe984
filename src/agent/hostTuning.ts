/** What penstock sets on the host once at start, as kube-proxy does: conntrack limits and its own place in an OOM kill. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { AgentConfig } from '../config/AgentConfig.js';
import { messageOf } from '../errors.js';
import type { Sysctls } from '../kernel/sysctl/Sysctls.js';

const HASH_SIZE = '/sys/module/nf_conntrack/parameters/hashsize';
/** More entries than this are never asked for on account of the number of CPUs. */
const CONNTRACK_CAP = 1_048_576;

/**
 * kube-proxy gives up when a conntrack parameter cannot be set. Here that is a warning: a node with the kernel's own limits
 * serves, one without a Service proxy does not.
 */
export function tuneHost(config: AgentConfig, sysctls: Sysctls, log: Logger): void {
  const { conntrack } = config;
  const set = (name: string, value: string) => {
    try {
      sysctls.ensure(`net/netfilter/${name}`, value);
    } catch (error) {
      log.warn({ err: error }, messageOf(error));
    }
  };
  const max = conntrackMax(conntrack, cpuCount());
  if (max > 0) {
    set('nf_conntrack_max', String(max));
    growConntrackHash(max, log);
  }
  const seconds: readonly (readonly [name: string, milliseconds: number])[] = [
    ['nf_conntrack_tcp_timeout_established', conntrack.tcpEstablishedTimeout],
    ['nf_conntrack_tcp_timeout_close_wait', conntrack.tcpCloseWaitTimeout],
    ['nf_conntrack_udp_timeout', conntrack.udpTimeout],
    ['nf_conntrack_udp_timeout_stream', conntrack.udpStreamTimeout],
  ];
  for (const [name, milliseconds] of seconds) {
    if (milliseconds > 0) set(name, String(Math.floor(milliseconds / 1000)));
  }
  if (conntrack.tcpBeLiberal) set('nf_conntrack_tcp_be_liberal', '1');
  try {
    writeFileSync('/proc/self/oom_score_adj', String(config.oomScoreAdj));
  } catch (error) {
    log.warn(`oom_score_adj cannot be set to ${config.oomScoreAdj}: ${messageOf(error)}`);
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
function cpuCount(): number {
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
