/**
 * What a host serves, as lines that are the same for hosts that do the same: without numbers that nobody depends on
 * (counters, marks, sizes) and without what is left over where nothing leads to.
 */
import { AttributeReader } from '../../src/kernel/netlink/AttributeReader.js';
import { canonicalExpression, readExpression } from '../../src/kernel/nftables/Expression.js';
import { IP_FAMILIES } from '../../src/net/ip.js';
import {
  livingRules,
  type ModelChain,
  type ModelElement,
  type ModelRule,
  type ModelSet,
  type ModelTable,
} from '../support/model/Ruleset.js';
import { remembered } from '../support/remembered.js';
import type { SimulatedHost } from './SimulatedHost.js';

/** How lines about a virtual server of others begin. */
const FOREIGN_SERVERS = { IPv4: '198.18.0.99:99/', IPv6: '[2001:db8:18::99]:99/' } as const;
export const OUR_TABLES = ['penstock', 'penstock-userspace'] as const;

/**
 * to the word: all but what session affinity needs, which the agent leaves when the last Service that wanted it is gone, until
 * it starts anew. in effect: with that, and without what depends on how it came about: how many indexes the endpoints of a
 * service port are spread over, and which of them each has.
 */
export type Reading = 'to the word' | 'in effect';

export function describeHost(host: SimulatedHost, reading: Reading): string[] {
  const lines: string[] = host.listeners.places().map((place) => `listens on ${place}`);
  for (const table of host.kernel.nftables.tables.values()) {
    if (OUR_TABLES.some((name) => name === table.name)) lines.push(...describeTable(table, reading));
  }
  for (const family of IP_FAMILIES) {
    for (const [chain, rules] of Object.entries(host.xtables[family].dump())) {
      if (chain.includes(' KUBE-')) lines.push(`${family} ${chain}:\n  ${rules.join('\n  ')}`);
      // Of chains that are everybody's, the rules that lead to ours; which of these comes first may change.
      else
        lines.push(
          ...rules.filter((rule) => rule.includes('KUBE-')).map((rule) => `${family} ${chain}: ${rule}`),
        );
    }
    const ofIpvs = host.ipvs[family].dump().filter((line) => !line.startsWith(FOREIGN_SERVERS[family]));
    lines.push(...ofIpvs.map((line) => `${family} ${withoutMark(line)}`));
  }
  return [...new Set(lines)].sort();
}

/**
 * Virtual servers of which no agent that begins can know that they are penstock's, since somebody took their elements away:
 * they stay, as what others made does. Each as its lines name it, and as those of its elements do.
 */
export function disownedServers({ disowned, ipvs }: SimulatedHost): string[] {
  const present = new Set(
    IP_FAMILIES.flatMap((family) => [...(ipvs[family].sets.get('PENSTOCK-SERVERS')?.keys() ?? [])]),
  );
  return [...disowned]
    .filter((element) => !present.has(element))
    .flatMap((element) => {
      const [, address = '', protocol = '', port = ''] = /^(.+),(tcp|udp|sctp):(\d+)$/.exec(element) ?? [];
      const host = address.includes(':') ? `[${address}]` : address;
      return address === '' ? [] : [` ${host}:${port}/${protocol.toUpperCase()} `, ` ${element} `];
    });
}

function withoutMark(line: string): string {
  return line
    .replace(/mark 0x[0-9a-f]+/, 'mark')
    .replace(/"mark":\d+/, '"mark"')
    .replace(/ 18790\d+$/, ' mark')
    .replace(/PENSTOCK-SERVERS (112\.0\S+|::7000:\S+),tcp:0/, 'PENSTOCK-SERVERS mark');
}

/** Chains that packets can reach, and the sets that rules of these ask. */
function describeTable(table: ModelTable, reading: Reading): string[] {
  const at = `nft ${table.family} ${table.name}`;
  const chains = new Set<ModelChain>();
  const sets = new Set<ModelSet>();
  const isLeft = (name: string) => reading === 'to the word' && isOfAffinity(name);
  const visit = (chain: ModelChain) => {
    // What only such a chain asks is left with it.
    if (chains.has(chain) || isLeft(chain.name)) return;
    chains.add(chain);
    for (const rule of livingRules(chain)) {
      for (const { chain: next } of rule.jumps) if (next) visit(next);
      for (const set of rule.sets) {
        sets.add(set);
        for (const { value } of set.elements.values()) {
          if (typeof value === 'object' && value.chain) visit(value.chain);
        }
      }
    }
  };
  for (const chain of table.chains.values()) if (chain.hook) visit(chain);
  const lines = [`${at} flags ${table.flags}`];
  for (const chain of chains) {
    // The administrator's own.
    if (chain.name.startsWith('admin-')) continue;
    if (reading === 'in effect' && isNumbered(chain.name)) continue;
    const { hook } = chain;
    const place = hook ? ` ${hook.type} ${hook.number} ${hook.priority} ${chain.policy}` : '';
    const rules = livingRules(chain)
      .filter(
        ({ jumps, sets: asked }) =>
          ![...jumps.map((verdict) => verdict.chain?.name ?? ''), ...asked.map(({ name }) => name)].some(
            isLeft,
          ),
      )
      .map((rule) => `\n  ${ruleText(rule)}`);
    if (hook && rules.length === 0) continue;
    lines.push(`${at} chain ${chain.name}${place}${rules.join('')}`);
  }
  for (const set of sets) {
    if (isLeft(set.name)) continue;
    lines.push(`${at} set ${set.name} ${set.flags} ${set.keyType} ${set.dataType} ${set.counts}`);
    // What clients did is not ours to tell.
    if (isOfAffinity(set.name)) continue;
    for (const element of set.elements.values()) {
      lines.push(`${at} ${set.name} ${elementText(element, reading === 'in effect' ? set.name : '')}`);
    }
  }
  return lines;
}

function isOfAffinity(name: string): boolean {
  return name.includes('affinity');
}

function ruleText({ expressions }: ModelRule): string {
  return textOfExpressions(Buffer.from(expressions).toString('latin1'));
}

const textOfExpressions = remembered((bytes: string): string => {
  const texts: string[] = [];
  const list = new AttributeReader(Buffer.from(bytes, 'latin1'));
  while (list.next()) {
    const found = readExpression(list.children());
    texts.push(found ? canonicalExpression(found) : '?');
  }
  return texts.join('; ');
});

/** `numbered`: the set, when its indexes do not matter. */
function elementText({ key, keyEnd, value }: ModelElement, numbered: string): string {
  const isIndexed = numbered === 'endpoints' || numbered === 'node-port-endpoints';
  const shownKey = isIndexed
    ? `${hex(key.slice(0, -4))} ${isShortCircuit(key) ? 'short circuit' : ''}`
    : hex(key);
  const chain = typeof value === 'object' ? (value.chain?.name ?? '') : '';
  const target = numbered === '' ? chain : chain.replace(NUMBER, '-N');
  const shown = typeof value === 'object' ? `${value.code} ${target}` : hex(value ?? '');
  return `${shownKey}${keyEnd === '' ? '' : `-${hex(keyEnd)}`} : ${shown}`;
}

/** The number of indexes in the name of a chain. */
const NUMBER = /-\d+(?=$|-)/;

function isNumbered(name: string): boolean {
  return NUMBER.test(name) && !isOfAffinity(name);
}

/** Their indexes begin at 65536; the last four bytes, least first. */
function isShortCircuit(key: string): boolean {
  return key.charCodeAt(key.length - 2) > 0;
}

function hex(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex');
}
