/** The tables of first packets, beside the rules of a mode, against what the objects ask for. Reads, and writes nothing. */
import { append } from '../../append.js';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { CHOICE_CONTENT, placeElements } from '../../dataplane/choice/choiceSets.js';
import type { BesideTable } from '../../dataplane/Dataplane.js';
import { KeyTable, type KeyTableContent } from '../../dataplane/family/KeyTable.js';
import { type KernelDifference, nothingThere } from '../../dataplane/KernelDifference.js';
import { acceptContent } from '../../dataplane/wake/acceptSets.js';
import { holdContent } from '../../dataplane/wake/holdSets.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { printElement } from '../../kernel/nftables/elements.js';
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import type { Transaction } from '../../kernel/nftables/Transaction.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { IP_FAMILIES } from '../../net/ip.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { wakeOptions } from './WakeOnConnect.js';

/** Rejects with NetlinkError. */
export async function besideDifferences(
  tables: readonly BesideTable[],
  config: NodeConfig,
  view: RoutingView,
  channel: NetlinkChannel,
): Promise<readonly KernelDifference[]> {
  const found: KernelDifference[] = [];
  for (const { kind, settings, why } of tables) {
    const content = contentOf(kind, config);
    if (content !== undefined && why && Object.keys(settings).length === 0)
      found.push({ sign: '-', what: `table ${content.name}`, service: '', text: `not written: ${why}` });
    for (const family of IP_FAMILIES) {
      const said = settings[family];
      if (content === undefined || said === undefined) continue;
      const table = new KeyTable(new NftablesTable(channel, family, content.name), content);
      const ports = view.servicePorts(family);
      // JSON leaves it out where there is none.
      const transaction = await table.plan(ports, { ...said, nodeAddress: view.node.addresses[family] });
      const asking = [...ports.values()].filter((port) => hasAny(content.elements(port, said)));
      append(found, describe(transaction, `${content.name} (${family})`, asking.length, placeNames(ports)));
    }
  }
  return found;
}

/** Settings come from an agent, which may be of another version: what they lack shows as a difference. */
function contentOf(kind: BesideTable['kind'], config: NodeConfig): KeyTableContent<object> | undefined {
  const options = wakeOptions(config);
  const contents = { choice: CHOICE_CONTENT, hold: holdContent(options), accept: acceptContent(options) };
  return contents[kind] as unknown as KeyTableContent<object> | undefined;
}

function hasAny(list: Iterable<unknown>): boolean {
  for (const _ of list) return true;
  return false;
}

/** Set and key of an element → the service port that it is of. */
function placeNames(ports: ReadonlyMap<string, ServicePort>): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const port of ports.values())
    for (const [set, key] of placeElements(port)) names.set(`${set} ${key}`, port.name);
  return names;
}

function describe(
  { createTable, flushedChains, newElements, deletedElements }: Transaction,
  name: string,
  asking: number,
  names: ReadonlyMap<string, string>,
): readonly KernelDifference[] {
  if (createTable) return [nothingThere(`table ${name}`, asking)];
  const element = (sign: '+' | '-', set: SetSpec, key: string): KernelDifference => ({
    sign,
    what: `element of ${set.name} in ${name}`,
    service: names.get(`${set.name} ${key}`) ?? '',
    text: printElement(set, key),
  });
  return [
    ...flushedChains.map((chain): KernelDifference => {
      const text = 'it has other rules than penstock writes';
      return { sign: '~', what: `chain ${chain} of ${name}`, service: '', text };
    }),
    ...[...newElements].flatMap(([set, { keys }]) => keys.map((key) => element('+', set, key))),
    ...[...deletedElements].flatMap(([set, keys]) => keys.map((key) => element('-', set, key))),
  ];
}
