/** Chains, maps and elements of both tiers, as transactions. Pure. */

import { indexKey, ipKey, portKey, protocolKey } from '../../kernel/nftables/dataTypes.js';
import {
  FIELDS,
  type Field,
  hashField,
  L4_PROTOCOL,
  numberField,
  vipFields,
} from '../../kernel/nftables/fields.js';
import {
  forwardTo,
  handOver,
  INNER,
  IS_FOR_ANOTHER_HOST,
  IS_FRAGMENT,
  IS_NO_SYN,
  isFamily,
  isIcmpError,
  MAY_BE_HANDED_OVER,
  OF_NO_CONNECTION,
  SOURCE_HARDWARE_ADDRESS,
  SOURCE_PORT,
} from '../../kernel/nftables/forwarding.js';
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import {
  ACCEPT,
  goTo,
  inSet,
  isProtocol,
  PROTOCOL_NUMBER,
  type Rule,
  verdictMap,
} from '../../kernel/nftables/statements.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import { familyOf, IP_FAMILIES, type IpFamily } from '../../net/ip.js';
import { SLOTS } from './SlotHistory.js';
import type { SlotTable, TierContents, TierKey } from './tierContents.js';

export const TIER_TABLE = 'penstock-balancer';

/** Before conntrack's helpers and NAT, after connections are looked up (-200). */
const SECOND_CHANCE_PRIORITY = -150;
const INGRESS_PRIORITY = -150;

const suffix: Readonly<Record<IpFamily, string>> = { IPv4: '4', IPv6: '6' };
const PROTOCOL = { TCP: PROTOCOL_NUMBER.tcp, UDP: PROTOCOL_NUMBER.udp, SCTP: PROTOCOL_NUMBER.sctp } as const;

const NODES: SetSpec = { name: 'nodes', key: { types: [SOURCE_HARDWARE_ADDRESS.type] } };

function sets(family: IpFamily) {
  const { destinationAddress } = FIELDS[family];
  const services: SetSpec = {
    name: `services-${suffix[family]}`,
    key: { fields: vipFields(family) },
    data: 'verdict',
  };
  const errors: SetSpec = {
    name: `errors-${suffix[family]}`,
    key: { fields: vipFields(family) },
    data: 'verdict',
  };
  const fragments: SetSpec = {
    name: `fragments-${suffix[family]}`,
    key: { fields: [destinationAddress, L4_PROTOCOL] },
    data: 'verdict',
  };
  return { services, errors, fragments };
}

function slotMap(table: SlotTable, device: string): SetSpec {
  const index = numberField('random', { modulus: SLOTS, offset: 0 });
  return {
    name: mapName(table, device),
    key: { fields: [index] },
    data: { fields: [FIELDS[table.family].destinationAddress] },
  };
}

const mapName = ({ name }: SlotTable, device: string) => `${name}-${device}`;

const slotOf = (fields: readonly Field[]) => hashField(fields, { modulus: SLOTS, offset: 0 });

function keyOf({ address, protocol, port }: TierKey): string {
  return ipKey(address) + protocolKey(PROTOCOL[protocol]) + portKey(port);
}

/** Tier 1: what comes in at the interfaces goes on to the node of its slot; of this node's slots nothing is changed. */
export function arrivingTable(
  contents: TierContents,
  devices: readonly string[],
  macs: readonly Uint8Array[],
): Transaction {
  const transaction = new Transaction('netdev', TIER_TABLE);
  transaction.createTable = true;
  transaction.newSets.push(NODES);
  for (const mac of macs) transaction.addElement(NODES, String.fromCharCode(...mac), undefined);
  const entry: Rule[] = [
    // Else every node would send a copy on.
    [IS_FOR_ANOTHER_HOST, ACCEPT],
    // What another node has sent on is here to stay.
    [inSet([SOURCE_HARDWARE_ADDRESS], 'is', NODES.name), ACCEPT],
  ];
  for (const family of IP_FAMILIES) {
    addFamily(transaction, contents, family);
    entry.push([isFamily(family), goTo(`arriving-${suffix[family]}`)]);
  }
  transaction.addChain({ name: 'arriving', rules: entry });
  for (const device of devices) {
    const hook = { type: 'filter', hook: 'ingress', priority: INGRESS_PRIORITY, device } as const;
    transaction.addChain({ name: `at-${device}`, hook, rules: [[goTo('arriving')]] });
  }
  // Chains are made in this order, and a rule may only name chains that are there: writeTransaction makes all chains first.
  return transaction;
}

function addFamily(transaction: Transaction, contents: TierContents, family: IpFamily): void {
  const { services, errors, fragments } = sets(family);
  const { sourceAddress, destinationAddress } = FIELDS[family];
  const { vip, protocol, vipPort, client, clientPort } = INNER[family];
  transaction.newSets.push(services, errors, fragments);
  const icmp = isProtocol(family === 'IPv4' ? 'icmp' : 'ipv6-icmp');
  transaction.addChain({
    name: `arriving-${suffix[family]}`,
    rules: [
      [IS_FRAGMENT[family], verdictMap([destinationAddress, L4_PROTOCOL], fragments.name)],
      // The rest of a fragment has no ports, and what of it has them must not go another way.
      [IS_FRAGMENT[family], ACCEPT],
      ...isIcmpError(family).map(
        (isError): Rule => [icmp, isError, verdictMap([vip, protocol, vipPort], errors.name)],
      ),
      [verdictMap(vipFields(family), services.name)],
    ],
  });
  const used = new Set(contents.services.map(({ table }) => table));
  for (const table of contents.tables.values()) {
    if (table.family !== family || !used.has(table.name)) continue;
    const byFlow = table.hash === 'flow';
    const ways = [
      ['f', byFlow ? [sourceAddress, SOURCE_PORT] : [sourceAddress]],
      ['e', byFlow ? [client, clientPort] : [client]],
      ['a', [sourceAddress]],
    ] as const;
    for (const [way, fields] of ways) {
      const rules = [...table.byDevice.values()].map(
        ({ device }): Rule => [forwardTo(family, slotOf(fields), mapName(table, device.name), device)],
      );
      transaction.addChain({ name: way + table.name, rules });
    }
    addSlots(transaction, table);
  }
  for (const { key, table } of contents.services) {
    if (contents.tables.get(table)?.family !== family) continue;
    transaction.addElement(services, keyOf(key), `f${table}`);
    transaction.addElement(errors, keyOf(key), `e${table}`);
  }
  for (const { address, protocol: name, table } of contents.fragments) {
    if (contents.tables.get(table)?.family !== family) continue;
    transaction.addElement(fragments, ipKey(address) + protocolKey(PROTOCOL[name]), `a${table}`);
  }
}

function addSlots(transaction: Transaction, table: SlotTable): void {
  for (const [device, { slots }] of table.byDevice) {
    const map = slotMap(table, device);
    transaction.newSets.push(map);
    for (const [slot, address] of slots) transaction.addElement(map, indexKey(slot), ipKey(address));
  }
}

/**
 * Tier 2's second chance: what is of no connection here goes to the node that had the slot before, or, when the slot is not of this
 * node at all, to whose it is: who sent it here knows another table for a moment, an older or a newer one. Taken up here it would lead
 * to an endpoint that knows nothing of it, which resets it.
 */
export function secondChanceTable(contents: TierContents, family: IpFamily): Transaction {
  const transaction = new Transaction(family, TIER_TABLE);
  transaction.createTable = true;
  const chances: SetSpec = { name: 'chances', key: { fields: vipFields(family) }, data: 'verdict' };
  transaction.newSets.push(chances);
  const { sourceAddress } = FIELDS[family];
  transaction.addChain({
    name: 'second-chance',
    hook: { type: 'filter', hook: 'prerouting', priority: SECOND_CHANCE_PRIORITY },
    rules: [
      [
        isProtocol('tcp'),
        IS_NO_SYN,
        OF_NO_CONNECTION,
        MAY_BE_HANDED_OVER[family],
        verdictMap(vipFields(family), chances.name),
      ],
    ],
  });
  const ofFamily = contents.secondChances.filter(({ key }) => familyOf(key.address) === family);
  for (const name of new Set(ofFamily.flatMap(({ tables }) => tables))) {
    const table = contents.tables.get(name);
    if (table !== undefined) addSlots(transaction, table);
  }
  const chains = new Set<string>();
  for (const { key, tables } of ofFamily) {
    const chain = `p${tables.join('')}`;
    transaction.addElement(chances, keyOf(key), chain);
    if (chains.has(chain)) continue;
    chains.add(chain);
    const rules = tables.flatMap((name): Rule[] => {
      const table = contents.tables.get(name);
      if (table === undefined) return [];
      const fields = table.hash === 'flow' ? [sourceAddress, SOURCE_PORT] : [sourceAddress];
      return [...table.byDevice.values()].map(({ device }) => [
        handOver(family, slotOf(fields), mapName(table, device.name), device),
      ]);
    });
    transaction.addChain({ name: chain, rules });
  }
  return transaction;
}
