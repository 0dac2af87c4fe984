/** Routing table and mode ipvs in this process and network namespace. */

import { UNHEARD } from '../../src/dataplane/Dataplane.js';
import type { IpvsOptions } from '../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { IpvsDataplane } from '../../src/dataplane/ipvs/IpvsDataplane.js';
import { KernelFamily } from '../../src/dataplane/ipvs/kernel/KernelFamily.js';
import { ServiceLink } from '../../src/dataplane/ipvs/kernel/ServiceLink.js';
import { renderFamily } from '../../src/dataplane/ipvs/renderFamily.js';
import { Ipset } from '../../src/kernel/ipset/Ipset.js';
import { Ipvs } from '../../src/kernel/ipvs/Ipvs.js';
import { NetlinkProtocol } from '../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../src/kernel/netlink/NetlinkChannel.js';
import { runCommand } from '../../src/kernel/xtables/runCommand.js';
import { openXtables } from '../../src/kernel/xtables/selectBackend.js';
import { XtablesTool } from '../../src/kernel/xtables/XtablesTool.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { BENCH_OPTIONS, service, slice } from '../objects.js';

export interface IpvsResult {
  readonly firstMs: number;
  /** Of firstMs, what iptables-save and iptables-restore took. */
  readonly rulesMs: number;
  readonly firstMessages: number;
  readonly changeMs: readonly number[];
  readonly changeMessages: readonly number[];
  readonly restartMs: number;
  readonly restartMessages: number;
  /** ipset restore + ipvsadm -R + ip -batch + iptables-restore. */
  readonly toolsMs: number;
}

const CHANGES = 60;

const OPTIONS: IpvsOptions = {
  ...BENCH_OPTIONS,
  scheduler: 'rr',
  excludeCIDRs: [],
  strictARP: false,
  timeouts: { tcp: 0, tcpFin: 0, udp: 0 },
};

export async function measureIpvs(services: number, endpoints: number): Promise<IpvsResult> {
  // In a namespace without any address the kernel takes no real server (EINVAL).
  await runCommand('ip', ['link', 'set', 'lo', 'up']);
  let rulesMs = 0;
  const usual = await openXtables('IPv4', 'auto');
  const tool = new XtablesTool('IPv4', 'iptables-legacy', usual.version, async (...call) => {
    const start = performance.now();
    const result = await runCommand(...call);
    rulesMs += performance.now() - start;
    return result;
  });
  const channels = [NetlinkProtocol.GENERIC, NetlinkProtocol.NETFILTER, NetlinkProtocol.ROUTE].map(
    (protocol) => NetlinkChannel.open(protocol, { receiveBufferBytes: 4 * 1024 * 1024 }),
  ) as [NetlinkChannel, NetlinkChannel, NetlinkChannel];
  const [generic, netfilter, route] = channels;
  const [ipvs, ipset] = [await Ipvs.open(generic), await Ipset.open(netfilter)];
  const open = () =>
    new IpvsDataplane(
      OPTIONS,
      {
        description: 'bench',
        kernels: [
          new KernelFamily({ tool, ipvs, ipset, link: new ServiceLink(route, () => {}), excludeCIDRs: [] }),
        ],
        addresses: () => [],
        randomFully: true,
        localhostPorts: () => ({}),
        rulesState: async () => undefined,
        close: async () => {},
      },
      UNHEARD,
    );
  const table = filledTable(services, endpoints);
  const first = await sync(open(), table);
  const firstRulesMs = rulesMs;
  const dataplane = open();
  const restart = await sync(dataplane, table, 'all');
  const changes: Sync[] = [];
  for (let i = 1; i <= CHANGES; i++) {
    table.apply([{ type: 'upsert', object: slice((i * 37) % services, endpoints, i) }]);
    changes.push(await sync(dataplane, table));
  }
  for (const channel of channels) channel.close();
  return {
    firstMs: first.ms,
    rulesMs: firstRulesMs,
    firstMessages: first.messages,
    restartMs: restart.ms,
    restartMessages: restart.messages,
    changeMs: changes.map(({ ms }) => ms),
    changeMessages: changes.map(({ messages }) => messages),
    toolsMs: await measureTools(services, endpoints),
  };
}

interface Sync {
  readonly ms: number;
  readonly messages: number;
}

/** `all`: with everything there is as a change, which is what an agent that starts has. */
async function sync(dataplane: IpvsDataplane, table: RoutingTable, what?: 'all'): Promise<Sync> {
  const start = performance.now();
  const changes = table.commit();
  const all = [...table.servicePorts('IPv4').values()].map((after) => ({
    key: after.key,
    before: undefined,
    after,
  }));
  const given = what === 'all' ? { ...changes, families: { IPv4: all, IPv6: [] } } : changes;
  const report = await dataplane.sync(table, given);
  const messages = report.families.reduce((sum, { transactions }) => sum + transactions, 0);
  return { ms: performance.now() - start, messages };
}

/** The same written by the tools, after everything was flushed. */
async function measureTools(services: number, endpoints: number): Promise<number> {
  const flush =
    'iptables-legacy -F; iptables-legacy -X; for t in nat mangle; do iptables-legacy -t $t -F; iptables-legacy -t $t -X; done; ipvsadm -C; ip link del kube-ipvs0; ipset destroy';
  await runCommand('sh', ['-c', flush]);
  const table = filledTable(services, endpoints);
  table.commit();
  const text = renderFamily('IPv4', table, OPTIONS, []);
  const start = performance.now();
  await must('ipset', ['restore'], text.sets);
  await must('ipvsadm', ['-R'], text.servers);
  await must('ip', ['-batch', '-'], text.addresses);
  await must('iptables-legacy-restore', ['--noflush'], text.rules);
  return performance.now() - start;
}

async function must(program: string, args: readonly string[], input: string): Promise<void> {
  const { status, stderr } = await runCommand(program, args, { input: [input] });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
}

function filledTable(services: number, endpoints: number): RoutingTable {
  const table = new RoutingTable({
    nodeName: 'node-0',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
  for (let n = 0; n < services; n++) {
    table.apply([
      { type: 'upsert', object: service(n) },
      { type: 'upsert', object: slice(n, endpoints) },
    ]);
  }
  return table;
}
