/** penstock run: serves Services on this node until SIGTERM or SIGINT. */
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { Agent } from '../agent/Agent.js';
import { ConnectionCleaning } from '../agent/ConnectionCleaning.js';
import { settleMode } from '../agent/chooseMode.js';
import { tuneHost } from '../agent/hostTuning.js';
import { openDataplane, requireMode } from '../agent/openDataplane.js';
import { removeOtherModes } from '../agent/removeOtherModes.js';
import { type AgentConfig, toAgentConfig } from '../config/AgentConfig.js';
import { configWarnings } from '../config/configWarnings.js';
import { flagHelp } from '../config/flagHelp.js';
import { parseRunCommand } from '../config/parseRunCommand.js';
import { writeConfig } from '../config/writeConfig.js';
import { PenstockError } from '../errors.js';
import { primaryAddress } from '../kernel/host/hostAddresses.js';
import { HostAddressWatch } from '../kernel/routes/HostAddressWatch.js';
import { Sysctls } from '../kernel/sysctl/Sysctls.js';
import { KubernetesSource } from '../kubernetes/KubernetesSource.js';
import { ManifestSource } from '../kubernetes/ManifestSource.js';
import type { ObjectSource } from '../kubernetes/ObjectSource.js';
import { openApiServer } from '../kubernetes/openApiServer.js';
import { IP_FAMILIES, type IpAddress, type IpFamily, isLoopback, isUnspecified } from '../net/ip.js';
import { AgentMetrics } from '../observe/AgentMetrics.js';
import { createLogger } from '../observe/createLogger.js';
import { RoutingTable } from '../routing/RoutingTable.js';
import { packageVersion } from './version.js';

export async function run(argv: readonly string[]): Promise<number> {
  const command = parseRunCommand(argv, { readFile: (path) => readFileSync(path, 'utf8'), hostname });
  if (command.type === 'help') {
    process.stdout.write(flagHelp());
    return 0;
  }
  if (command.type === 'version') {
    process.stdout.write(`penstock ${packageVersion()}\n`);
    return 0;
  }
  const { config, source, options } = command;
  if (options.writeConfigTo !== '') {
    writeFileSync(options.writeConfigTo, await writeConfig(source));
    return 0;
  }
  if (options.cleanup) return (await import('./cleanup.js')).cleanup([]);
  const { format, verbosity } = config.logging;
  const log = createLogger({ format: format === 'json' ? 'json' : 'text', verbosity }, process.stdout);
  const withMode = (mode: AgentConfig['mode']) => toAgentConfig({ ...source, mode }, hostname());
  await serve(config, withMode, options, log);
  return 0;
}

async function serve(
  given: AgentConfig,
  withMode: (mode: AgentConfig['mode']) => AgentConfig,
  { initOnly, master }: { readonly initOnly: boolean; readonly master: string },
  log: Logger,
): Promise<void> {
  // Everything that can be wrong with the call is found before anything on the host is touched.
  requireMode(given);
  const sources = initOnly ? [] : [await chooseSource(given, master, log)];
  requireNetAdmin();
  log.info(`penstock ${packageVersion()} on node ${given.nodeName}, Node.js ${process.version}`);
  const config = await settleMode(given, withMode, log);
  const sysctls = new Sysctls();
  const fallbackAddresses: Partial<Record<IpFamily, IpAddress>> = {};
  for (const family of IP_FAMILIES) {
    const address = await primaryAddress(family);
    if (address !== undefined) fallbackAddresses[family] = address;
  }
  warnAboutConfig(config, fallbackAddresses, log);
  tuneHost(config, sysctls, log);
  const addressWatch = await HostAddressWatch.open();
  const host = { sysctls, addresses: () => addressWatch.addresses };
  const dataplane = await openDataplane(config, host, log);
  log.info(`mode ${config.mode}: ${dataplane.description}`);
  if (initOnly) {
    addressWatch.close();
    return dataplane.close();
  }

  const table = new RoutingTable({
    nodeName: config.nodeName,
    serviceProxyName: config.serviceProxyName,
    fallbackAddresses,
    fixedAddresses: isUnspecified(config.bindAddress) ? {} : byFamily(config.bindAddress),
  });
  const afterFirstSync = () => removeOtherModes(config, sysctls, log);
  const metrics = new AgentMetrics();
  const connections = new ConnectionCleaning({
    nodePortAddresses: config.nodePortAddresses,
    localhostNodePorts: config.mode !== 'nftables' && config.localhostNodePorts,
    hostAddresses: host.addresses,
    onDeleted: (entries) => metrics.connectionsDeleted(entries),
    log,
  });
  const agent = new Agent({
    config,
    sources,
    table,
    dataplane,
    connections,
    metrics,
    hostAddresses: host.addresses,
    afterFirstSync,
    log,
  });
  addressWatch.onChange = () => agent.hostChanged();
  const signalled = waitForSignal();
  try {
    await agent.start();
  } catch (error) {
    await agent.stop();
    throw error;
  }
  log.info(`${await signalled} received, stopping; the rules stay in place`);
  addressWatch.close();
  await agent.stop();
  log.info('stopped');
}

async function chooseSource(config: AgentConfig, master: string, log: Logger): Promise<ObjectSource> {
  if (config.manifests !== '') return new ManifestSource(config.manifests);
  const { nodeName, serviceProxyName, clientConnection } = config;
  const { kubeconfig } = clientConnection;
  const userAgent = `penstock/${packageVersion()}`;
  const transport = await openApiServer({ kubeconfig, master, userAgent }, process.env);
  if (transport) return new KubernetesSource({ transport, nodeName, serviceProxyName, log });
  throw new PenstockError('PENSTOCK_NO_SOURCE', 'there is nothing to take Services from', {
    remedy:
      'Give --kubeconfig or --master, run it as a pod of the cluster, or give manifests: penstock run --manifests PATH.',
  });
}

/** Of linux/capability.h: the bit without which the kernel takes no rule. */
const CAP_NET_ADMIN = 12n;

function requireNetAdmin(): void {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  if ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) return;
  throw new PenstockError(
    'PENSTOCK_NOT_PRIVILEGED',
    'writing rules needs root, or the capability CAP_NET_ADMIN',
    {
      remedy: 'Run it with sudo; `penstock render` shows the rules without it.',
    },
  );
}

function warnAboutConfig(
  config: AgentConfig,
  nodeIPs: Partial<Record<IpFamily, IpAddress>>,
  log: Logger,
): void {
  const primaryFamily: IpFamily = config.bindAddress.includes(':') ? 'IPv6' : 'IPv4';
  const node = { primaryFamily, supportedFamilies: IP_FAMILIES, nodeIPs, podCIDRs: [] };
  for (const { severity, message } of configWarnings(config, node)) {
    if (severity === 'fatal') throw new PenstockError('PENSTOCK_CONFIG_UNUSABLE', message);
    log.warn(message);
  }
}

function waitForSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
}

function byFamily(address: IpAddress): Partial<Record<IpFamily, IpAddress>> {
  return isLoopback(address) ? {} : { [address.includes(':') ? 'IPv6' : 'IPv4']: address };
}
