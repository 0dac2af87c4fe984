/** Mode iptables on this host: its options, and the dataplane with the kernel behind it. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { Dataplane, DataplaneListener } from '../dataplane/Dataplane.js';
import { IptablesDataplane } from '../dataplane/iptables/IptablesDataplane.js';
import type { IptablesOptions } from '../dataplane/iptables/IptablesOptions.js';
import { messageOf } from '../errors.js';
import { missingForLegacy, requireAll, thisProcess } from '../host/privileges.js';
import { hostHasIpv6 } from '../kernel/host/hostHasIpv6.js';
import { openXtables } from '../kernel/xtables/selectBackend.js';
import type { XtablesTool } from '../kernel/xtables/XtablesTool.js';
import { IP_FAMILIES, type IpFamily } from '../net/ip.js';
import { iptablesKernel } from './iptablesKernel.js';
import type { ModeHost } from './openDataplane.js';

/** Rejects with what the mode lacks on this host. */
export async function openIptables(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<Dataplane> {
  const tools = await openTools(config, log);
  return new IptablesDataplane(
    iptablesOptions(config),
    {
      tools,
      ...host,
      ...iptablesKernel(tools, log),
    },
    listener,
  );
}

export function iptablesOptions(config: NodeConfig): IptablesOptions {
  return {
    masqueradeMark: config.masqueradeMark,
    masqueradeAll: config.masqueradeAll,
    localhostNodePorts: config.localhostNodePorts,
    nodePortAddresses: config.nodePortAddresses,
    detectLocal: config.detectLocal,
    syncPeriodMs: config.sync.period,
  };
}

/** One tool for each family of the host. Only the family of bindAddress must work. */
export async function openTools(config: NodeConfig, log: Logger): Promise<XtablesTool[]> {
  const primary: IpFamily = config.bindAddress.includes(':') ? 'IPv6' : 'IPv4';
  const tools: XtablesTool[] = [];
  for (const family of IP_FAMILIES) {
    try {
      if (family === 'IPv6' && !hostHasIpv6()) continue;
      const tool = await openXtables(family, config.iptablesBackend);
      if (tool.version.backend === 'legacy') requireAll(missingForLegacy(thisProcess()));
      await tool.listChain('nat', 'POSTROUTING');
      tools.push(tool);
    } catch (error) {
      if (family === primary) throw error;
      log.warn(`${family} services are not served: ${messageOf(error)}`);
    }
  }
  return tools;
}
