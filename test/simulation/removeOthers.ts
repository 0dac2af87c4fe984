/** What modes/removing/removeOtherModes does when a node changes its mode, on a simulated host. */

import { planCleanup } from '../../src/dataplane/iptables/plan/planCleanup.js';
import { SECTION_LIMIT } from '../../src/dataplane/iptables/rules/sections.js';
import { ownServers } from '../../src/dataplane/ipvs/kernel/ownership.js';
import { planRemoval, readSavedRules } from '../../src/dataplane/ipvs/rules/planRules.js';
import { TABLE } from '../../src/dataplane/nftables/desired/sets.js';
import { CAPTURE_TABLE } from '../../src/dataplane/userspace/CaptureView.js';
import { NftablesTable } from '../../src/kernel/nftables/table/NftablesTable.js';
import type { XtablesTool } from '../../src/kernel/xtables/XtablesTool.js';
import { IP_FAMILIES } from '../../src/net/ip.js';
import type { Mode } from './modes.js';
import type { SimulatedHost } from './SimulatedHost.js';
import type { VirtualTime } from './VirtualTime.js';

const TABLES = { nftables: TABLE, userspace: CAPTURE_TABLE } as const;

/** Rejects when a call fails; something may be left then. */
export async function removeOthers(
  host: SimulatedHost,
  process: number,
  kept: Mode,
  time: VirtualTime,
): Promise<void> {
  for (const mode of ['nftables', 'userspace'] as const)
    if (mode !== kept) await removeOwnTables(host, process, mode, time);
  for (const tool of host.tools(process)) {
    if (kept !== 'ipvs') {
      const input = planRemoval(readSavedRules(await tool.saveAll()));
      if (!input.isEmpty) await tool.restore(input);
      removeObjects(host, tool.family);
    }
    if (kept !== 'iptables') await removeIptables(tool);
  }
}

/** The chains of mode iptables, which are kube-proxy's too. Rejects when a call fails. */
export async function removeIptables(tool: XtablesTool): Promise<void> {
  const saved = {
    mangle: await tool.save('mangle'),
    filter: await tool.save('filter'),
    nat: await tool.save('nat'),
  };
  const input = planCleanup(saved, SECTION_LIMIT.nft);
  if (!input.isEmpty) await tool.restore(input);
}

/** The tables of a mode of nf_tables. Rejects when a call fails. */
export async function removeOwnTables(
  host: SimulatedHost,
  process: number,
  mode: keyof typeof TABLES,
  time: VirtualTime,
): Promise<void> {
  const channel = host.channel(process, time);
  try {
    for (const family of IP_FAMILIES) {
      const table = new NftablesTable(channel, family, TABLES[mode]);
      if (await table.exists()) await table.delete();
    }
  } finally {
    channel.close();
  }
}

function removeObjects({ ipvs }: SimulatedHost, family: 'IPv4' | 'IPv6'): void {
  const { servers, sets, addresses } = ipvs[family];
  const ids = [...servers.values()].map(({ server }) => server);
  for (const key of ownServers(ids, sets, { excludeCIDRs: [] }, () => false)) servers.delete(key);
  sets.clear();
  addresses.clear();
}
