/**
 * Which iptables to use when a host has both. Rules of the two backends do not see each other, so penstock must use
 * the one that kubelet and everybody else on the node uses; kubelet leaves a chain as a hint (KEP-3178).
 */
import type { IpFamily } from '../../net/ip.js';
import { legacyTables } from './legacyTables.js';
import { nftChainExists } from './nftChains.js';
import { type ProgramRunner, runCommand } from './runCommand.js';
import { type XtablesBackend, XtablesTool } from './XtablesTool.js';

const PROGRAM: Readonly<Record<IpFamily, string>> = { IPv4: 'iptables', IPv6: 'ip6tables' };
const HINTS = ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY'];
const HINT_TABLE = 'mangle';

/** How the host is asked, injected. */
export interface XtablesHost {
  readonly run: ProgramRunner;
  readonly nftChainExists: typeof nftChainExists;
  readonly legacyTables: typeof legacyTables;
}

const HOST: XtablesHost = { run: runCommand, nftChainExists, legacyTables };

/**
 * `auto` follows kubelet's hint, else takes what plain `iptables` is. Rejects with PENSTOCK_XTABLES_MISSING. A process is
 * started only where nothing else tells: they are most of what the start of an agent costs.
 */
export async function openXtables(
  family: IpFamily,
  backend: 'auto' | XtablesBackend,
  host = HOST,
): Promise<XtablesTool> {
  const program = PROGRAM[family];
  const open = (name: string) => XtablesTool.open(family, name, host.run);
  if (backend !== 'auto') {
    const usual = await open(program).catch(() => undefined);
    return usual?.version.backend === backend ? usual : open(`${program}-${backend}`);
  }
  const usual = await open(program);
  const hinted = await hintedTool(family, usual.version.backend, async () => usual, host);
  if (hinted) return hinted;
  const other = usual.version.backend === 'nft' ? 'legacy' : 'nft';
  const otherHinted = hintedTool(family, other, () => open(`${program}-${other}`), host);
  return (await otherHinted.catch(() => undefined)) ?? usual;
}

/** The tool of that backend, if kubelet's hint is among its rules. */
async function hintedTool(
  family: IpFamily,
  backend: XtablesBackend,
  open: () => Promise<XtablesTool>,
  host: XtablesHost,
): Promise<XtablesTool | undefined> {
  if (backend === 'nft') {
    for (const hint of HINTS) if (await host.nftChainExists(family, HINT_TABLE, hint)) return open();
    return undefined;
  }
  if (!(await host.legacyTables(family)).includes(HINT_TABLE)) return undefined;
  const tool = await open();
  const saved = await tool.save(HINT_TABLE);
  return HINTS.some((hint) => saved.includes(`\n:${hint} `)) ? tool : undefined;
}
