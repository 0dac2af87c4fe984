/** Mode iptables on this host: its options, and the dataplane with the kernel behind it. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { DataplaneListener } from '../dataplane/Dataplane.js';
import { IptablesDataplane } from '../dataplane/iptables/IptablesDataplane.js';
import type { IptablesOptions } from '../dataplane/iptables/IptablesOptions.js';
import { messageOf } from '../errors.js';
import { missingForLegacy, requireAll, thisProcess } from '../host/privileges.js';
import { hostFamilies } from '../kernel/host/hostFamilies.js';
import { openXtables } from '../kernel/xtables/selectBackend.js';
import type { XtablesTool } from '../kernel/xtables/XtablesTool.js';
import { familyOf, type IpFamily } from '../net/ip.js';
import { AcceptOnConnect } from './beside/AcceptOnConnect.js';
import { accompanied } from './beside/AccompaniedDataplane.js';
import { EndpointChoice } from './beside/EndpointChoice.js';
import { FailureTelling } from './beside/tellFailures.js';
import { WakeOnConnect, wakeOptions } from './beside/WakeOnConnect.js';
import { iptablesKernel } from './iptablesKernel.js';
import { type ModeHost, NOTHING_TO_PREPARE, type OpenMode } from './ModeHost.js';

/** Rejects with what the mode lacks on this host. */
export async function openIptables(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<OpenMode> {
  const tools = await openTools(config, log);
  const telling = openTelling('iptables', config, tools, host, log);
  const families = tools.map(({ family }) => family);
  const choice = new EndpointChoice({ families, clock: host.clock, log });
  const waking = new WakeOnConnect(families, wakeOptions(config), host, log);
  const accepting = new AcceptOnConnect(families, config, host, log);
  const beside = [...(telling ? [telling] : []), choice, waking, accepting];
  const dataplane = new IptablesDataplane(
    iptablesOptions(config),
    {
      tools,
      ...host,
      ...iptablesKernel(tools, log, () => beside.reduce((sum, { committed }) => sum + committed, 0)),
    },
    listener,
  );
  return {
    dataplane: accompanied(dataplane, { before: telling, after: choice, inForce: waking, accepting }),
    prepareHost: NOTHING_TO_PREPARE,
  };
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

/** Undefined where nobody listens. */
export function openTelling(
  mode: 'iptables' | 'ipvs',
  config: NodeConfig,
  tools: readonly XtablesTool[],
  { logGroup = 0 }: ModeHost,
  log: Logger,
): FailureTelling | undefined {
  const families = tools.map(({ family }) => family);
  return logGroup === 0 ? undefined : new FailureTelling(config, mode, families, logGroup, log);
}

/** One tool for each family of the host. Only the family of bindAddress must work. */
export async function openTools(config: NodeConfig, log: Logger): Promise<XtablesTool[]> {
  const primary: IpFamily = familyOf(config.bindAddress);
  const tools: XtablesTool[] = [];
  for (const family of hostFamilies()) {
    try {
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
