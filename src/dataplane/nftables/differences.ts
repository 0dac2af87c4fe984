/** The table in the kernel against the one that a full sync would write, in nft's words, with the names of Services. */

import { append } from '../../append.js';
import { DORMANT } from '../../kernel/nftables/constants.js';
import { ipKey, portKey, protocolKey } from '../../kernel/nftables/dataTypes.js';
import { printElement } from '../../kernel/nftables/elements.js';
import { printRule } from '../../kernel/nftables/printTransaction.js';
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import { PROTOCOL_NUMBER } from '../../kernel/nftables/statements.js';
import type { ChainSpec, Transaction } from '../../kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { ruleText, type TableState } from '../../kernel/nftables/table/TableState.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type KernelDifference, nothingThere } from '../KernelDifference.js';
import type { NftablesSettings } from './desired/NftablesSettings.js';
import { isNotOurs } from './desired/sets.js';
import { type Present, planFull } from './plan/planFull.js';
import { readPresent } from './plan/readPresent.js';

/** Elements of one set that are listed one by one; the rest is a count. */
const MOST_OF_A_SET = 1000;

/** Writes nothing. Rejects with NetlinkError. */
export async function differences(
  table: NftablesTable,
  ports: ReadonlyMap<string, ServicePort>,
  settings: NftablesSettings,
): Promise<readonly KernelDifference[]> {
  const present = await readPresent(table);
  if (present === undefined) return [nothingThere(`table ${table.name} (${table.family})`, ports.size)];
  const { transaction, contents } = await planFull(ports.values(), settings, present, table.name);
  const dormant = (present.state.flags & DORMANT) === 0 ? [] : [dormantTable(table.name)];
  if (transaction.isEmpty) return dormant;
  const names = new Names(ports, settings.family);
  return [...dormant, ...(await describe(transaction, contents.wantedChains(), present, names))];
}

function dormantTable(table: string): KernelDifference {
  return { sign: '~', what: 'table', service: '', text: `${table} is dormant: no packet sees its rules` };
}

/** Values of elements by key, read again where something differs: to keep all of them would cost more than everything else. */
async function valuesOf(set: SetSpec, present: Present): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  if (set.data !== undefined) (await present.list(set)).each(({ key, value }) => values.set(key, value));
  return values;
}

/** Which service port has a VIP, or a node port: what keys of elements begin with. */
class Names {
  readonly #byPlace = new Map<string, string>();
  readonly #placeLength: number;

  constructor(ports: ReadonlyMap<string, ServicePort>, family: IpFamily) {
    this.#placeLength = (family === 'IPv4' ? 4 : 16) + 8;
    for (const port of ports.values()) {
      const protocol =
        PROTOCOL_NUMBER[port.protocol === 'TCP' ? 'tcp' : port.protocol === 'UDP' ? 'udp' : 'sctp'];
      const end = protocolKey(protocol) + portKey(port.port);
      const vips = [...port.externalIPs, ...port.loadBalancerIPs];
      for (const vip of port.clusterIP === undefined ? vips : [port.clusterIP, ...vips]) {
        this.#byPlace.set(ipKey(vip) + end, port.name);
        this.#byPlace.set(ipKey(vip), `${port.namespace}/${port.service}`);
      }
      if (port.nodePort !== 0) this.#byPlace.set(protocolKey(protocol) + portKey(port.nodePort), port.name);
    }
  }

  of(key: string): string {
    const beginnings = [
      key.slice(0, this.#placeLength),
      key.slice(0, 8),
      key.slice(0, this.#placeLength - 8),
    ];
    for (const beginning of beginnings) {
      const name = this.#byPlace.get(beginning);
      if (name !== undefined) return name;
    }
    return '';
  }
}

async function describe(
  transaction: Transaction,
  wanted: readonly ChainSpec[],
  present: Present,
  names: Names,
): Promise<KernelDifference[]> {
  const found: KernelDifference[] = [];
  const sets = new Set(transaction.newSets.map(({ name }) => name));
  for (const name of sets)
    found.push({
      sign: transaction.deletedSets.includes(name) ? '~' : '+',
      what: 'set',
      service: '',
      text: transaction.deletedSets.includes(name) ? `${name} is declared otherwise` : `${name} is missing`,
    });
  for (const name of transaction.deletedSets)
    if (!sets.has(name)) found.push({ sign: '-', what: 'set', service: '', text: `${name} is nobody's` });
  append(found, chainDifferences(transaction, wanted, present.state));
  const touched = new Set([...transaction.newElements.keys(), ...transaction.deletedElements.keys()]);
  for (const set of touched) {
    const isThere = transaction.deletedElements.has(set) && !transaction.deletedSets.includes(set.name);
    const values = isThere ? await valuesOf(set, present) : new Map<string, string>();
    append(found, elementDifferences(transaction, set, values, names));
  }
  return found;
}

function chainDifferences(
  transaction: Transaction,
  wanted: readonly ChainSpec[],
  state: TableState,
): KernelDifference[] {
  const found: KernelDifference[] = [];
  const touched = new Set([
    ...transaction.newChains.map(({ name }) => name),
    ...transaction.flushedChains,
    ...transaction.deletedChains,
  ]);
  for (const name of touched) {
    const chain = wanted.find((each) => each.name === name);
    if (chain === undefined) {
      if (!isNotOurs(name))
        found.push({ sign: '-', what: 'chain', service: '', text: `${name} is nobody's` });
    } else if (!state.chains.has(name)) {
      found.push({
        sign: '+',
        what: 'chain',
        service: '',
        text: `${name}, with ${chain.rules.length} rules`,
      });
    } else append(found, ruleDifferences(chain, state.rules.get(name) ?? []));
  }
  return found;
}

function ruleDifferences({ name, rules }: ChainSpec, present: readonly string[]): KernelDifference[] {
  const what = `rule in ${name}`;
  const left = [...present];
  const missing = rules.filter((rule) => {
    const at = left.indexOf(ruleText(rule));
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  const found: KernelDifference[] = missing.map((rule) => ({
    sign: '+',
    what,
    service: '',
    text: printRule(rule),
  }));
  for (const _ of left)
    found.push({
      sign: '-',
      what,
      service: '',
      text: `one that penstock did not write, or wrote otherwise: nft -a list chain shows it`,
    });
  if (found.length === 0)
    found.push({
      sign: '~',
      what: 'chain',
      service: '',
      text: `${name}: its rules or its hook are in another order or place`,
    });
  return found;
}

function elementDifferences(
  { newElements, deletedElements }: Transaction,
  set: SetSpec,
  values: ReadonlyMap<string, string>,
  names: Names,
): KernelDifference[] {
  const found: KernelDifference[] = [];
  const what = `element of ${set.name}`;
  const added = newElements.get(set) ?? { keys: [], values: [] };
  const replaced = new Set<string>();
  const deleted = new Set(deletedElements.get(set));
  for (const [i, key] of added.keys.entries()) {
    const wanted = added.values[i];
    const service = names.of(key);
    if (deleted.has(key)) {
      replaced.add(key);
      const is = printElement(set, key, values.get(key));
      found.push({ sign: '~', what, service, text: `${is}, wanted is ${printElement(set, key, wanted)}` });
    } else found.push({ sign: '+', what, service, text: printElement(set, key, wanted) });
  }
  for (const key of deleted)
    if (!replaced.has(key))
      found.push({
        sign: '-',
        what,
        service: names.of(key),
        text: printElement(set, key, values.get(key)),
      });
  if (found.length <= MOST_OF_A_SET) return found;
  const more = `and ${found.length - MOST_OF_A_SET} elements more`;
  return [...found.slice(0, MOST_OF_A_SET), { sign: '~', what, service: '', text: more }];
}
