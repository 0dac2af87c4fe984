/** Routing table and iptables dataplane in this process and network namespace. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UNHEARD } from '../../src/dataplane/Dataplane.js';
import { IptablesDataplane } from '../../src/dataplane/iptables/IptablesDataplane.js';
import { ruleSettings } from '../../src/dataplane/iptables/IptablesOptions.js';
import { NO_RULES } from '../../src/dataplane/iptables/plan/ExistingRules.js';
import { planFull } from '../../src/dataplane/iptables/plan/planFull.js';
import { RuleSet } from '../../src/dataplane/iptables/plan/RuleSet.js';
import { renderServicePort } from '../../src/dataplane/iptables/rules/renderServicePort.js';
import { SECTION_LIMIT } from '../../src/dataplane/iptables/rules/sections.js';
import { Sysctls } from '../../src/kernel/sysctl/Sysctls.js';
import { runCommand } from '../../src/kernel/xtables/runCommand.js';
import { openXtables } from '../../src/kernel/xtables/selectBackend.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { BENCH_OPTIONS, service, slice } from '../objects.js';

export interface ToolResult {
  readonly onePieceMs: number;
  readonly cutMs: number;
}

export interface CoreResult {
  readonly fullMs: number;
  readonly fullOwnMs: number;
  readonly changeMs: readonly number[];
  readonly changeOwnMs: readonly number[];
}

const CHANGES = 60;

export async function measureCore(services: number, endpoints: number): Promise<CoreResult> {
  const tool = await openXtables('IPv4', 'auto');
  const dataplane = new IptablesDataplane(
    BENCH_OPTIONS,
    {
      tools: [tool],
      sysctls: new Sysctls(mkdtempSync(join(tmpdir(), 'penstock-bench-'))),
      createCounters: async () => false,
      readCounters: async () => new Map(),
      watch: { state: async () => undefined, isOurs: () => false },
      close: async () => {},
    },
    UNHEARD,
  );
  const table = emptyTable();
  for (let n = 0; n < services; n++) {
    table.apply([
      { type: 'upsert', object: service(n) },
      { type: 'upsert', object: slice(n, endpoints) },
    ]);
  }
  const sync = async () => {
    const start = performance.now();
    const report = await dataplane.sync(table, table.commit());
    const total = performance.now() - start;
    return { total, own: total - report.families.reduce((sum, family) => sum + family.kernelMs, 0) };
  };
  const full = await sync();
  const changes: { total: number; own: number }[] = [];
  for (let i = 1; i <= CHANGES; i++) {
    table.apply([{ type: 'upsert', object: slice((i * 37) % services, endpoints, i) }]);
    changes.push(await sync());
  }
  return {
    fullMs: full.total,
    fullOwnMs: full.own,
    changeMs: changes.map((c) => c.total),
    changeOwnMs: changes.map((c) => c.own),
  };
}

/** The same rules without penstock: one COMMIT as kube-proxy does, then, after a flush, in sections. */
export async function measureTool(services: number, endpoints: number): Promise<ToolResult> {
  const tool = await openXtables('IPv4', 'auto');
  const table = emptyTable();
  for (let n = 0; n < services; n++) {
    table.apply([
      { type: 'upsert', object: service(n) },
      { type: 'upsert', object: slice(n, endpoints) },
    ]);
  }
  table.commit();
  const facts = { addresses: [], randomFully: true, conntrackLiberal: false, accounting: false };
  const settings = ruleSettings(BENCH_OPTIONS, 'IPv4', table, facts);
  const rules = new RuleSet();
  rules.apply(
    [...table.servicePorts('IPv4').values()].map((port) => ({
      key: port.key,
      before: undefined,
      after: renderServicePort(port, settings, services * endpoints > 1000 ? 'brief' : 'full'),
    })),
  );
  const timed = async (limit: number) => {
    const input = planFull(rules, NO_RULES, settings, limit);
    const start = performance.now();
    await tool.restore(input);
    return performance.now() - start;
  };
  const cutMs = await timed(SECTION_LIMIT.nft);
  await runCommand('nft', ['flush', 'ruleset']);
  return { cutMs, onePieceMs: await timed(Number.POSITIVE_INFINITY) };
}

function emptyTable(): RoutingTable {
  return new RoutingTable({
    nodeName: 'node-0',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
}
