/** Others on the host: administrators, scripts, another proxy. They spoil what is ours, and keep things of their own there. */
import { MessageFlag, NetfilterSubsystem, NetlinkProtocol } from '../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../src/kernel/netlink/MessageWriter.js';
import {
  beginNetfilterMessage,
  beginTransaction,
  endTransaction,
} from '../../src/kernel/netlink/nfnetlink.js';
import {
  ChainAttribute,
  DORMANT,
  ElementAttribute,
  ElementList,
  LIST_ELEMENT,
  NftMessage,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from '../../src/kernel/nftables/constants.js';
import { writeData, writeExpressions, writeVerdict } from '../../src/kernel/nftables/Expression.js';
import { DROP } from '../../src/kernel/nftables/statements.js';
import { IP_FAMILIES } from '../../src/net/ip.js';
import { ip } from '../support/builders.js';
import type { ModelElement, ModelSet, ModelTable } from '../support/model/Ruleset.js';
import type { Chance } from './Chance.js';
import { OUR_TABLES } from './describeHost.js';
import type { SimulatedHost } from './SimulatedHost.js';

const OWN_TABLE = 'admins';
/** NF_DROP. */
const DROP_POLICY = 0;
const FOREIGN_RULE = '-m comment --comment "not ours" -j ACCEPT';
const FOREIGN_SERVER = {
  IPv4: { family: 'IPv4', protocol: 'TCP', address: ip('198.18.0.99'), port: 99 },
  IPv6: { family: 'IPv6', protocol: 'TCP', address: ip('2001:db8:18::99'), port: 99 },
} as const;

export class Stranger {
  readonly #host: SimulatedHost;
  readonly #chance: Chance;
  /** What they did, for those who replay a history. */
  readonly #say: (line: string) => void;
  /** What of theirs must still be there. */
  readonly #own = new Set<string>();

  constructor(host: SimulatedHost, chance: Chance, say: (line: string) => void) {
    this.#host = host;
    this.#chance = chance;
    this.#say = say;
  }

  /** Things of their own, which no agent may touch. */
  settle(): void {
    this.#batch((writer) => {
      message(writer, NftMessage.NEW_TABLE, MessageFlag.CREATE, 2, () =>
        writer.string(TableAttribute.NAME, OWN_TABLE),
      );
      message(writer, NftMessage.NEW_CHAIN, MessageFlag.CREATE, 2, () => {
        writer.string(ChainAttribute.TABLE, OWN_TABLE);
        writer.string(ChainAttribute.NAME, 'theirs');
      });
    });
    this.#own.add('table');
    for (const family of IP_FAMILIES) {
      this.#host.xtables[family].write(`*filter\n-A FORWARD ${FOREIGN_RULE}\nCOMMIT\n`);
      this.#own.add(`rule ${family}`);
      const service = {
        ...FOREIGN_SERVER[family],
        scheduler: 'lc',
        flags: 0,
        timeoutSeconds: 0,
        netmaskBits: 24,
      };
      void this.#host.ipvs[family].changeServers([{ action: 'add service', service }]);
      this.#own.add(`server ${family}`);
    }
  }

  /** What of their own is gone though they did not take it away. */
  missing(): string[] {
    const { kernel, xtables, ipvs } = this.#host;
    return [...this.#own].filter((what) => {
      const [kind, family] = what.split(' ') as [string, 'IPv4' | 'IPv6'];
      if (kind === 'table')
        return ![...kernel.nftables.tables.values()].some(
          ({ name, chains }) => name === OWN_TABLE && chains.has('theirs'),
        );
      if (kind === 'rule')
        return !xtables[family].dump()['filter FORWARD']?.some((rule) => rule.includes('not ours'));
      return ![...ipvs[family].servers.values()].some(
        ({ server }) => 'address' in server && server.address === FOREIGN_SERVER[family].address,
      );
    });
  }

  /** Spoils something. */
  act(): void {
    const tables = [...this.#host.kernel.nftables.tables.values()].filter(({ name }) =>
      OUR_TABLES.some((each) => each === name),
    );
    const acts: (() => void)[] = [];
    if (tables.length > 0) acts.push(() => this.#spoilTable(this.#chance.pick(tables)));
    const family = this.#chance.pick(IP_FAMILIES);
    const { xtables, ipvs } = this.#host;
    const chains = Object.entries(xtables[family].dump()).filter(([name]) => name.includes(' KUBE-'));
    if (chains.length > 0) acts.push(() => this.#spoilRules(family, chains));
    if (ipvs[family].servers.size > 1) acts.push(() => this.#spoilIpvs(family));
    if (acts.length > 0) this.#chance.pick(acts)();
  }

  #spoilTable(table: ModelTable): void {
    const chance = this.#chance;
    const { family, name } = table;
    const sets = [...table.sets.values()];
    const act = chance.below(13);
    this.#batch((writer) => {
      if (act === 0) {
        this.#say(`a stranger deletes table ${family} ${name}`);
        message(writer, NftMessage.DELETE_TABLE, 0, family, () => writer.string(TableAttribute.NAME, name));
      } else if (act === 1) {
        this.#say('a stranger flushes the ruleset');
        this.#own.delete('table');
        message(writer, NftMessage.DELETE_TABLE, 0, 0, () => {});
      } else if (act === 2 && table.chains.size > 0) {
        const chain = chance.pick([...table.chains.keys()]);
        this.#say(`a stranger flushes chain ${family} ${chain}`);
        message(writer, NftMessage.DELETE_RULE, 0, family, () => {
          writer.string(RuleAttribute.TABLE, name);
          writer.string(RuleAttribute.CHAIN, chain);
        });
      } else if (act === 3 && table.chains.size > 0) {
        const chain = chance.pick([...table.chains.keys()]);
        this.#say(`a stranger adds a rule to ${family} ${chain}`);
        message(
          writer,
          NftMessage.NEW_RULE,
          MessageFlag.CREATE | (chance.percent(50) ? MessageFlag.APPEND : 0),
          family,
          () => {
            writer.string(RuleAttribute.TABLE, name);
            writer.string(RuleAttribute.CHAIN, chain);
            writeExpressions(writer, RuleAttribute.EXPRESSIONS, DROP.expressions);
          },
        );
      } else if (act === 4 && sets.length > 0) {
        const set = chance.pick(sets);
        this.#say(`a stranger flushes set ${family} ${set.name}`);
        message(writer, NftMessage.DELETE_ELEMENTS, 0, family, () => {
          writer.string(ElementList.TABLE, name);
          writer.string(ElementList.SET, set.name);
        });
      } else if (act === 5 && sets.length > 0) {
        const set = chance.pick(sets);
        this.#say(`a stranger deletes set ${family} ${set.name}`);
        message(writer, NftMessage.DELETE_SET, 0, family, () => {
          writer.string(SetAttribute.TABLE, name);
          writer.string(SetAttribute.NAME, set.name);
        });
      } else if (act === 6) {
        this.#say(`a stranger puts table ${family} ${name} to sleep`);
        message(writer, NftMessage.NEW_TABLE, 0, family, () => {
          writer.string(TableAttribute.NAME, name);
          writer.u32be(TableAttribute.FLAGS, DORMANT);
        });
      } else if (act === 7) {
        const hooked = [...table.chains.values()].filter(({ hook }) => hook);
        if (hooked.length === 0) return;
        const chain = chance.pick(hooked);
        this.#say(`a stranger gives ${family} ${chain.name} policy drop`);
        message(writer, NftMessage.NEW_CHAIN, 0, family, () => {
          writer.string(ChainAttribute.TABLE, name);
          writer.string(ChainAttribute.NAME, chain.name);
          writer.u32be(ChainAttribute.POLICY, DROP_POLICY);
        });
      } else {
        const filled = sets.filter(({ elements }) => elements.size > 0);
        if (filled.length > 0) this.#spoilElements(writer, table, chance.pick(filled));
      }
    });
  }

  /** Takes elements away, or gives them the values of others. */
  #spoilElements(writer: MessageWriter, { family, name }: ModelTable, set: ModelSet): void {
    const chance = this.#chance;
    const all = [...set.elements.values()];
    const some = [chance.pick(all), ...chance.some(all, 20)].filter(
      (each, i, list) => list.indexOf(each) === i,
    );
    const wrong = chance.percent(40) && all.length > 1 ? chance.pick(all) : undefined;
    this.#say(`a stranger ${wrong ? 'changes' : 'deletes'} ${some.length} elements of ${family} ${set.name}`);
    const put = (type: number, flags: number, element: ModelElement, value?: ModelElement['value']) =>
      message(writer, type, flags, family, () => {
        writer.string(ElementList.TABLE, name);
        writer.string(ElementList.SET, set.name);
        const list = writer.openNest(ElementList.ELEMENTS);
        const nest = writer.openNest(LIST_ELEMENT);
        writeData(writer, ElementAttribute.KEY, element.key);
        if (element.keyEnd !== '') writeData(writer, ElementAttribute.KEY_END, element.keyEnd);
        if (typeof value === 'string') writeData(writer, ElementAttribute.DATA, value);
        else if (value?.chain)
          writeVerdict(writer, ElementAttribute.DATA, { code: value.code, chain: value.chain.name });
        writer.closeNest(nest);
        writer.closeNest(list);
      });
    for (const element of some) put(NftMessage.DELETE_ELEMENTS, 0, element);
    if (wrong)
      for (const element of some) put(NftMessage.NEW_ELEMENTS, MessageFlag.CREATE, element, wrong.value);
  }

  #batch(write: (writer: MessageWriter) => void): void {
    const writer = new MessageWriter();
    beginTransaction(writer, NetfilterSubsystem.NFTABLES);
    write(writer);
    if (writer.messageCount === 1) return;
    endTransaction(writer, NetfilterSubsystem.NFTABLES);
    const socket = this.#host.kernel.openForeign(NetlinkProtocol.NETFILTER, 'nft');
    socket.send(writer.bytes());
    socket.close();
  }

  #spoilRules(family: 'IPv4' | 'IPv6', chains: readonly (readonly [string, readonly string[]])[]): void {
    const chance = this.#chance;
    const xtables = this.#host.xtables[family];
    const act = chance.below(6);
    if (act === 0) {
      this.#say(`a stranger flushes all rules of ${family}`);
      this.#own.delete(`rule ${family}`);
      xtables.flush();
      xtables.commits++;
      return;
    }
    const [place, rules] = chance.pick(chains);
    const [table, chain] = place.split(' ');
    if (act < 4 && rules.length > 0) {
      const rule = chance.pick(rules);
      this.#say(`a stranger deletes ${family} ${place} ${rule}`);
      xtables.write(`*${table}\n-D ${chain} ${rule}\nCOMMIT\n`);
    } else if (act === 4) {
      this.#say(`a stranger flushes ${family} ${place}`);
      xtables.write(`*${table}\n:${chain} - [0:0]\nCOMMIT\n`);
    } else {
      const base = table === 'nat' ? 'PREROUTING' : 'FORWARD';
      const jumps = xtables.dump()[`${table} ${base}`]?.filter((rule) => rule.includes('KUBE-')) ?? [];
      if (jumps.length === 0) return;
      const jump = chance.pick(jumps);
      this.#say(`a stranger deletes ${family} ${table} ${base} ${jump}`);
      xtables.write(`*${table}\n-D ${base} ${jump}\nCOMMIT\n`);
    }
  }

  #spoilIpvs(family: 'IPv4' | 'IPv6'): void {
    const chance = this.#chance;
    const { servers, sets, addresses } = this.#host.ipvs[family];
    const ours = [...servers].filter(
      ([, { server }]) => !('address' in server && server.address === FOREIGN_SERVER[family].address),
    );
    const act = chance.below(5);
    const set = chance.pick([...sets.values()].filter((each) => each.size > 0).concat(new Map()));
    if (act === 0 && ours.length > 0) {
      const [key] = chance.pick(ours);
      this.#say(`a stranger deletes virtual server ${key}`);
      servers.delete(key);
    } else if (act === 1 && ours.length > 0) {
      const [key, { realServers }] = chance.pick(ours);
      const [target] = realServers.keys();
      this.#say(`a stranger deletes real server ${target} of ${key}`);
      if (target !== undefined) realServers.delete(target);
    } else if (act === 2) {
      const [element] = set.keys();
      this.#say(`a stranger deletes ${element} of a set`);
      if (element === undefined) return;
      this.#host.disowned.add(element);
      set.delete(element);
    } else if (act === 3) {
      const [address] = addresses;
      this.#say(`a stranger deletes address ${address}`);
      if (address !== undefined) addresses.delete(address);
    } else {
      this.#say(`a stranger clears IPVS of ${family}`);
      this.#own.delete(`server ${family}`);
      servers.clear();
    }
  }
}

function message(writer: MessageWriter, type: number, flags: number, family: number, body: () => void): void {
  beginNetfilterMessage(writer, type, flags, family);
  body();
  writer.endMessage();
}
