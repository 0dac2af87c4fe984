/**
 * Which iptables to use when a host has both. Rules of the two backends do not see each other, so penstock must use
 * the one that kubelet and everybody else on the node uses; kubelet leaves a chain as a hint (KEP-3178).
 */
import type { IpFamily } from '../../net/ip.js';
import { type RunCommand, runCommand } from './runCommand.js';
import { type XtablesBackend, XtablesTool } from './XtablesTool.js';

const PROGRAM: Readonly<Record<IpFamily, string>> = { IPv4: 'iptables', IPv6: 'ip6tables' };
const HINTS = ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY'];

/** `auto` follows kubelet's hint, else takes what plain `iptables` is. Rejects with PENSTOCK_XTABLES_MISSING. */
export async function openXtables(
  family: IpFamily,
  backend: 'auto' | XtablesBackend,
  run: RunCommand = runCommand,
): Promise<XtablesTool> {
  const program = PROGRAM[family];
  const usual = await XtablesTool.open(family, program, run).catch((error: unknown) => {
    if (backend === 'auto') throw error;
    return undefined;
  });
  if (usual && (backend === 'auto' ? await hasHint(usual) : usual.version.backend === backend)) return usual;
  const wanted = backend === 'auto' ? (usual?.version.backend === 'nft' ? 'legacy' : 'nft') : backend;
  try {
    const other = await XtablesTool.open(family, `${program}-${wanted}`, run);
    if (backend !== 'auto' || (await hasHint(other))) return other;
  } catch (error) {
    if (!usual || backend !== 'auto') throw error;
  }
  return usual as XtablesTool;
}

async function hasHint(tool: XtablesTool): Promise<boolean> {
  if (!(await tool.tables()).includes('mangle')) return false;
  for (const hint of HINTS) if (await tool.listChain('mangle', hint)) return true;
  return false;
}
