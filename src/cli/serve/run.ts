/** penstock run: serves Services on this node until SIGTERM or SIGINT. */
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { Agent } from '../../agent/Agent.js';
import { ConfigAdvice } from '../../agent/ConfigAdvice.js';
import { ConfigReload, type Run } from '../../agent/ConfigReload.js';
import { ConnectionCleaning } from '../../agent/ConnectionCleaning.js';
import { effectiveConfiguration } from '../../config/file/effectiveConfiguration.js';
import { writeConfig } from '../../config/file/writeConfig.js';
import { flagHelp } from '../../config/flags/flagHelp.js';
import { parseRunCommand } from '../../config/flags/parseRunCommand.js';
import { type NodeConfig, toNodeConfig } from '../../config/NodeConfig.js';
import type { DataplaneListener } from '../../dataplane/Dataplane.js';
import { messageOf, PenstockError } from '../../errors.js';
import { modeSysctls, setSysctls, tuneConntrack } from '../../host/hostTuning.js';
import { setOomScore } from '../../host/oomScore.js';
import { missingPrivileges, requireAll, thisProcess } from '../../host/privileges.js';
import { primaryAddresses } from '../../kernel/host/hostAddresses.js';
import { HostAddressWatch } from '../../kernel/routes/HostAddressWatch.js';
import { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import { KubernetesSource } from '../../kubernetes/KubernetesSource.js';
import { ManifestSource } from '../../kubernetes/manifests/ManifestSource.js';
import type { ObjectSource } from '../../kubernetes/ObjectSource.js';
import {
  type ApiServer,
  type ApiServerChoice,
  openApiServer,
  requireApiServer,
} from '../../kubernetes/openApiServer.js';
import { settleMode } from '../../modes/chooseMode.js';
import { openDataplane } from '../../modes/openDataplane.js';
import { removeOtherModes } from '../../modes/removeOtherModes.js';
import { type IpAddress, type IpFamily, isLoopback, isUnspecified } from '../../net/ip.js';
import { EventRecorder } from '../../observe/events/EventRecorder.js';
import type { Page } from '../../observe/http/MetricsServer.js';
import { profilePages } from '../../observe/http/profilePages.js';
import { statusPages } from '../../observe/http/statusPages.js';
import { createLogger } from '../../observe/log/createLogger.js';
import { AgentMetrics } from '../../observe/metrics/AgentMetrics.js';
import { RoutingTable } from '../../routing/RoutingTable.js';
import { systemClock } from '../../time/Clock.js';
import { packageVersion } from '../version.js';

/** `unreduced`: why this process has more capabilities than it needs, if it should not. */
export async function run(argv: readonly string[], unreduced?: string): Promise<number> {
  const command = parseRunCommand(argv, { readFile: (path) => readFileSync(path, 'utf8'), hostname });
  if (command.type === 'help') {
    process.stdout.write(flagHelp());
    return 0;
  }
  if (command.type === 'version') {
    process.stdout.write(`penstock ${packageVersion()}\n`);
    return 0;
  }
  const { source, options } = command;
  if (options.writeConfigTo !== '') {
    writeConfigTo(options.writeConfigTo, await writeConfig(source));
    return 0;
  }
  if (options.cleanup)
    return (await import('../host/cleanup.js')).cleanup(options.dryRun ? ['--dry-run'] : []);
  if (options.dryRun) {
    check(command);
    const quiet = createLogger({ format: 'text', verbosity: 0 }, process.stderr);
    const { sources } = options.initOnly ? { sources: [] } : await openSources(command, quiet);
    return (await import('./dryRun.js')).dryRun(command, sources);
  }
  check(command);
  requireAll(missingPrivileges(command.config, thisProcess()));
  const { format, verbosity } = command.config.logging;
  const log = createLogger({ format: format === 'json' ? 'json' : 'text', verbosity }, process.stdout);
  const parse = () => {
    const changed = parseRunCommand(argv, { readFile: (path) => readFileSync(path, 'utf8'), hostname });
    if (changed.type !== 'run') throw new TypeError('a command line that ran is one that runs');
    check(changed);
    return changed;
  };
  log.info(`penstock ${packageVersion()} on node ${command.config.nodeName}, Node.js ${process.version}`);
  if (unreduced !== undefined) log.info(`no capability is given up: ${unreduced}`);
  await serveUntilEnd(command, parse, log);
  return 0;
}

function writeConfigTo(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new PenstockError('PENSTOCK_CONFIG_UNWRITABLE', `--write-config-to ${path}: ${messageOf(error)}`, {
      remedy: 'Name a file in a folder that is there and that you may write to.',
    });
  }
}

/** Everything that can be wrong with the call is found before anything on the host is touched. */
function check(run: Run): void {
  if (!run.options.initOnly) requireSource(run);
}

/** Serves; and anew, with another configuration, whenever its file changes in a way that asks for it. */
async function serveUntilEnd(first: Run, parse: () => Run, log: Logger): Promise<void> {
  const signalled = waitForSignal();
  let inForce: Run | undefined;
  let next: Run | undefined = first;
  while (next !== undefined) {
    try {
      const following: Run | undefined = await serve(next, parse, signalled, log);
      inForce = next;
      next = following;
    } catch (error) {
      if (inForce === undefined || next === inForce) throw error;
      log.error(
        { err: error },
        `the new configuration cannot be served, back to the one before: ${messageOf(error)}`,
      );
      next = inForce;
    }
  }
}

/** Resolves to the configuration to go on with; undefined: that was all. Rejects when it cannot start. */
async function serve(
  run: Run,
  parse: () => Run,
  signalled: Promise<string>,
  log: Logger,
): Promise<Run | undefined> {
  const { source, options } = run;
  const config = await settleMode(run.config, (mode) => toNodeConfig({ ...source, mode }, hostname()), log);
  const sysctls = new Sysctls();
  const fallbackAddresses = await primaryAddresses();
  const advice = new ConfigAdvice(config, log);
  advice.atStart(fallbackAddresses);
  tuneConntrack(config, sysctls, log);
  if (options.initOnly) setSysctls(modeSysctls(config), sysctls, log);
  else setOomScore(config.oomScoreAdj, (text) => log.info(text));
  const addressWatch = await HostAddressWatch.open();
  const host = {
    sysctls,
    addresses: () => addressWatch.addresses,
    ignoreLink: (index: number) => addressWatch.ignoreLink(index),
  };
  let succeed: () => void = () => {};
  const succession = new Promise<string>((resolve) => {
    succeed = () => resolve(SUCCEEDED);
  });
  const listener: DataplaneListener = {
    foreignChange: (what) => agent.foreignChange(what),
    familyFailed: (family) => agent.familyFailed(family),
    familySynced: (report) => agent.familySynced(report),
    restoreFailed: (family, kind) => agent.restoreFailed(family, kind),
    succeeded: succeed,
  };
  const dataplane = await openDataplane(config, host, listener, log).catch((error: unknown) => {
    addressWatch.close();
    throw error;
  });
  log.info(`mode ${config.mode}: ${dataplane.description}`);
  if (options.initOnly) {
    addressWatch.close();
    await dataplane.close();
    log.info('--init-only: the settings of the host are made, nothing is served');
    return undefined;
  }

  const table = new RoutingTable({
    nodeName: config.nodeName,
    serviceProxyName: config.serviceProxyName,
    fallbackAddresses,
    fixedAddresses: isUnspecified(config.bindAddress) ? {} : byFamily(config.bindAddress),
    externalIPs: config.featureGates.AllowServiceExternalIPs ? 'served' : 'ignored',
  });
  const afterFirstSync = async () => {
    advice.onNode(table);
    await removeOtherModes(config, sysctls, log);
  };
  const { sources, apiServer } = await openSources(run, log);
  const metrics = new AgentMetrics();
  if (apiServer) apiServer.observer = metrics.requests;
  metrics.build(packageVersion());
  metrics.features(config.featureGates);
  metrics.follow(config.mode || 'nftables', (family) => table.servicePorts(family).values());
  const connections = openConnectionCleaning(config, host.addresses, metrics, log);
  const agent: Agent = new Agent({
    config,
    sources,
    table,
    dataplane,
    connections,
    metrics,
    pages: metricsPages(config, run),
    events: new EventRecorder({
      hostname: hostname(),
      request: apiServer && ((method, path, body) => apiServer.send(method, path, body)),
      onFailure: (why) => log.warn(`Events cannot be sent: ${why}`),
    }),
    hostAddresses: host.addresses,
    afterFirstSync,
    clock: systemClock,
    random: Math.random,
    log,
  });
  addressWatch.onChange = async () => {
    table.setFallbackAddresses(await primaryAddresses());
    agent.hostChanged();
  };
  const reload = new ConfigReload({ run, parse, sysctls, log });
  let end: string | Run | undefined;
  try {
    await agent.start();
    end = await Promise.race([signalled, succession, reload.next]);
    if (typeof end !== 'string') return end;
    log.info(`${end}, stopping; the rules stay in place`);
  } finally {
    reload.close();
    addressWatch.close();
    await agent.stop();
    log.info('stopped');
  }
  if (end === SUCCEEDED && isInPod()) {
    log.info('waiting for SIGTERM: the kubelet would start an ended container again');
    await stayFor(signalled);
  }
  return undefined;
}

/** Waiting for a signal alone does not keep a process of Node.js alive. */
async function stayFor(event: Promise<unknown>): Promise<void> {
  const staying = setInterval(() => {}, 60_000);
  await event;
  clearInterval(staying);
}

/** Started again it would take the work back from its successor, and be deleted with it. */
function isInPod(): boolean {
  return process.env.KUBERNETES_SERVICE_HOST !== undefined;
}

const SUCCEEDED = 'another penstock has taken over';

interface OpenedSources {
  readonly sources: readonly ObjectSource[];
  /** Undefined without an API server. */
  readonly apiServer: ApiServer | undefined;
}

/** Where Services come from: a folder of manifests, or else the API server. */
async function openSources({ config, options }: Run, log: Logger): Promise<OpenedSources> {
  const { manifests, nodeName, serviceProxyName } = config;
  if (manifests !== '') return { sources: [new ManifestSource(manifests)], apiServer: undefined };
  const transport = await openApiServer(apiServerChoice(config, options.master), process.env);
  const source = new KubernetesSource({ transport, nodeName, serviceProxyName, log });
  return { sources: [source], apiServer: transport };
}

/** Throws PENSTOCK_NO_SOURCE. */
function requireSource({ config, options }: Run): void {
  if (config.manifests === '') requireApiServer(apiServerChoice(config, options.master), process.env);
}

function apiServerChoice({ clientConnection }: NodeConfig, master: string): ApiServerChoice {
  return { kubeconfig: clientConnection.kubeconfig, master, userAgent: `penstock/${packageVersion()}` };
}

/** The pages of the metrics port, besides /metrics. */
function metricsPages(config: NodeConfig, { source, flags }: Run): ReadonlyMap<string, Page> {
  const status = statusPages({
    mode: config.mode,
    version: packageVersion(),
    startedAt: Date.now(),
    now: Date.now,
    configuration: effectiveConfiguration(source, config),
    flags,
  });
  return config.enableProfiling ? new Map([...status, ...profilePages()]) : status;
}

/** In mode userspace every tracked connection ends at the proxy: none contradicts the table. */
function openConnectionCleaning(
  config: NodeConfig,
  hostAddresses: () => readonly IpAddress[],
  metrics: AgentMetrics,
  log: Logger,
): Pick<ConnectionCleaning, 'take' | 'clean' | 'stop'> {
  if (config.mode === 'userspace') return { take: () => {}, clean: async () => {}, stop: async () => {} };
  return new ConnectionCleaning({
    nodePortAddresses: config.nodePortAddresses,
    localhostNodePorts: config.mode === 'iptables' && config.localhostNodePorts,
    hostAddresses,
    onLooked: (family, deleted, milliseconds) => metrics.connectionsCleaned(family, deleted, milliseconds),
    log,
  });
}

function waitForSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => resolve(`${signal} received`));
  });
}

function byFamily(address: IpAddress): Partial<Record<IpFamily, IpAddress>> {
  return isLoopback(address) ? {} : { [address.includes(':') ? 'IPv6' : 'IPv4']: address };
}
