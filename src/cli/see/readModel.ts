/** Objects, node and configuration, read by a command itself: from manifests, or from the API server. Needs no root. */

import { hostname } from 'node:os';
import { makeTable } from '../../agent/makeTable.js';
import { openSources, type SourceHost, THIS_HOST } from '../../agent/openSources.js';
import { readOnce } from '../../agent/readOnce.js';
import { append } from '../../append.js';
import { parseRunCommand } from '../../config/flags/parseRunCommand.js';
import { type NodeConfig, toNodeConfig } from '../../config/NodeConfig.js';
import { readConfigFile, readConfigText } from '../../config/readConfigText.js';
import { messageOf, PenstockError } from '../../errors.js';
import type { Mode, Rules, World } from '../../explain/World.js';
import { rulesOf, worldOf } from '../../explain/worldOf.js';
import { freeHeap, heap } from '../../host/heap.js';
import { hostAddresses, primaryAddresses } from '../../kernel/host/hostAddresses.js';
import { requireSomething } from '../../kubernetes/manifests/manifestErrors.js';
import { familyOf, type IpAddress, type IpFamily, parseIp } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import { createLogger } from '../../observe/log/createLogger.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import { WrongCall } from '../readArguments.js';
import { packageVersion } from '../version.js';
import { MODES, type ModelFlags, modeFlag } from './modelFlags.js';

export interface Model {
  readonly world: World;
  readonly rules: Rules;
  readonly config: NodeConfig;
  readonly table: RoutingTable;
  readonly problems: readonly Problem[];
}

/** How an agent was called, and in which mode it ran. */
export interface CalledAgent {
  readonly mode: string;
  readonly arguments: readonly string[];
  readonly folder: string;
}

/** For a kubeconfig that another process names. */
function distrustful(filesAt: (path: string) => string): SourceHost {
  return { ...THIS_HOST, openApiServer: (choice) => THIS_HOST.openApiServer({ ...choice, filesAt }) };
}

/** How a file of configuration is read: one that the caller named, or another process. */
export function configReader({ filesAt }: ModelFlags): (path: string) => string {
  return filesAt ? (path) => readConfigFile(filesAt(path)) : readConfigText;
}

/** What an agent would be told: its flags, and the configuration that they come to. Throws WrongCall, or why it cannot be read. */
export function readConfig(flags: ModelFlags, { mode: otherwise = 'nftables', called }: Called = {}) {
  const asked = modeFlag(flags.mode);
  const argv = (['manifests', 'config', 'kubeconfig', 'cluster-cidr'] as const).flatMap((name) => {
    const value = flags[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
  // The paths of its command line are relative to where it was called.
  if (called) enterFolder(called.folder);
  const words = called ? [...called.arguments.filter((word) => word !== 'run'), ...argv] : argv;
  const command = parseRunCommand(words, {
    readFile: configReader(flags),
    hostname,
  });
  if (command.type !== 'run') throw new TypeError('a call without --help and --version is one to run');
  const mode = asked ?? (command.source.mode || modeOf(called?.mode, otherwise));
  const resolved = toNodeConfig({ ...command.source, mode }, hostname());
  const config: NodeConfig =
    flags.node === undefined ? resolved : { ...resolved, nodeName: flags.node.toLowerCase() };
  return { ...command, config };
}

/**
 * Rejects with WrongCall, or with why the objects cannot be read. `mode`: when neither flag nor file names one. `called`: an
 * agent whose sources and configuration are read, unless flags name others.
 */
export async function readModel(flags: ModelFlags, called: Called = {}): Promise<Model> {
  // Of 50,000 Services a third of the time would go to collecting garbage.
  freeHeap();
  try {
    return await readObjects(flags, called);
  } finally {
    heap.keepSmall();
  }
}

interface Called {
  readonly mode?: Mode;
  readonly called?: CalledAgent;
}

async function readObjects(
  flags: ModelFlags,
  { mode: otherwise = 'nftables', called }: Called,
): Promise<Model> {
  const own = (flags['node-address'] ?? []).map(addressFlag);
  const run = readConfig(flags, { mode: otherwise, ...(called ? { called } : {}) });
  const { config } = run;
  const table = makeTable(config, own.length > 0 ? firstOfEach(own) : await primaryAddresses());
  const log = createLogger({ format: 'text', verbosity: 0 }, process.stderr);
  const { sources } = await openSources(
    run,
    packageVersion(),
    flags.filesAt ? distrustful(flags.filesAt) : THIS_HOST,
    log,
  );
  const problems: Problem[] = [];
  for (const source of sources) append(problems, await readOnce(source, table));
  requireSomething(problems, table.services);
  table.commit();
  const world = worldOf(table, config.serviceProxyName, own.length > 0 ? own : addressesOf(table));
  return {
    world,
    rules: rulesOf(config, world),
    config,
    table,
    problems: [...problems, ...table.problems()],
  };
}

function modeOf(text: string | undefined, otherwise: Mode): Mode {
  return MODES.find((mode) => mode === text) ?? otherwise;
}

/** Those of this host; of the Node object when that is another machine. */
function addressesOf(table: RoutingTable): readonly IpAddress[] {
  const host = hostAddresses();
  const named = table.nodeObject?.addresses ?? [];
  return named.length > 0 && !named.some((ip) => host.includes(ip)) ? named : host;
}

function addressFlag(text: string): IpAddress {
  const ip = parseIp(text);
  if (ip === undefined) throw new WrongCall(`--node-address ${JSON.stringify(text)} is no IP address`);
  return ip;
}

function firstOfEach(list: readonly IpAddress[]): Partial<Record<IpFamily, IpAddress>> {
  const found: Partial<Record<IpFamily, IpAddress>> = {};
  for (const ip of list) found[familyOf(ip)] ??= ip;
  return found;
}

function enterFolder(folder: string): void {
  try {
    process.chdir(folder);
  } catch (cause) {
    throw new PenstockError(
      'PENSTOCK_NO_AGENT',
      `${folder}, where the agent was started, cannot be entered: ${messageOf(cause)}`,
      {
        cause,
        remedy: 'Say where objects are: --manifests PATH, --kubeconfig FILE or --config FILE.',
      },
    );
  }
}
