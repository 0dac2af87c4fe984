/** penstock run --dry-run: prints what a start would set and write on this host, and changes nothing. Needs no root. */
import { hostname } from 'node:os';
import { makeTable } from '../../agent/makeTable.js';
import { openSources, THIS_HOST } from '../../agent/openSources.js';
import { readOnce } from '../../agent/readOnce.js';
import { append } from '../../append.js';
import { configWarnings } from '../../config/file/configWarnings.js';
import type { Run } from '../../config/flags/parseRunCommand.js';
import { toNodeConfig } from '../../config/NodeConfig.js';
import { conntrackSysctls, cpuCount, modeSysctls } from '../../host/hostTuning.js';
import { primaryAddresses } from '../../kernel/host/hostAddresses.js';
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import type { ObjectSource } from '../../kubernetes/ObjectSource.js';
import { chooseMode, probeKernel } from '../../modes/chooseMode.js';
import { familyOf, type IpFamily } from '../../net/ip.js';
import { printableLines } from '../../net/printable.js';
import type { Problem } from '../../objects/Problem.js';
import { createLogger } from '../../observe/log/createLogger.js';
import { rendererOf } from '../see/render.js';
import { packageVersion } from '../version.js';

/** Resolves with 1 when objects would be set aside. Rules and settings go to standard output, doubts to standard error. */
export async function dryRun(run: Run): Promise<number> {
  const { source, config: given, options } = run;
  const mode = given.mode === '' ? await likelyMode() : given.mode;
  const config = toNodeConfig({ ...source, mode }, hostname());
  const families = hostFamilies();
  const table = makeTable(config, await primaryAddresses());
  const problems: Problem[] = [];
  for (const each of options.initOnly ? [] : await sourcesOf(run))
    append(problems, await readOnce(each, table));
  table.commit();

  process.stdout.write(`# mode ${mode}, node ${config.nodeName}; nothing is changed\n`);
  const sysctls = new Sysctls();
  for (const [name, value] of [...conntrackSysctls(config, cpuCount()), ...modeSysctls(config)]) {
    const present = sysctls.read(name) ?? 'not there';
    const dotted = name.replaceAll('/', '.');
    if (present !== value) process.stdout.write(`sysctl -w ${dotted}=${value}   # now: ${present}\n`);
  }
  if (options.initOnly) return 0;
  const renderer = rendererOf(mode);
  for (const family of families) {
    if (renderer) process.stdout.write(await renderer(family, table, config));
  }
  const primaryFamily: IpFamily = familyOf(config.bindAddress);
  const network = {
    primaryFamily,
    supportedFamilies: families,
    nodeIPs: table.node.addresses,
    podCIDRs: table.nodeObject?.podCIDRs ?? [],
  };
  const doubts = configWarnings(config, network).map(({ message }) => message);
  const all = [...problems, ...table.problems()];
  const setAside = all.map(
    ({ subject, message, where }) => `${where ? `${where}: ` : ''}${subject}: ${message}`,
  );
  for (const line of [...doubts, ...setAside])
    process.stderr.write(printableLines(`penstock run --dry-run: ${line}\n`));
  return all.every(({ severity }) => severity === 'note') ? 0 : 1;
}

async function sourcesOf(run: Run): Promise<readonly ObjectSource[]> {
  const log = createLogger({ format: 'text', verbosity: 0 }, process.stderr);
  const { sources } = await openSources(run, packageVersion(), THIS_HOST, log);
  return sources;
}

/** As penstock run would choose; what may not be asked is taken for a kernel of today. */
async function likelyMode(): Promise<'nftables' | 'iptables'> {
  const probed = await probeKernel();
  return probed instanceof Error ? 'nftables' : chooseMode(probed).mode;
}
