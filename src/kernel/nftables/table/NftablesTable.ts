/** One table of nf_tables, in one IP family: what is in it is read, and transactions are committed. */
import { PenstockError } from '../../../errors.js';
import type { IpFamily } from '../../../net/ip.js';
import { NetfilterSubsystem } from '../../netlink/constants.js';
import type { Message } from '../../netlink/Message.js';
import { MessageWriter } from '../../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../../netlink/NetlinkChannel.js';
import { NetlinkError } from '../../netlink/NetlinkError.js';
import { beginNetfilterMessage, beginTransaction, endTransaction } from '../../netlink/nfnetlink.js';
import {
  ElementList,
  FAMILY_NUMBER,
  NftMessage,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
  type TableFamily,
} from '../constants.js';
import { type MapTests, NOWHERE } from '../Expression.js';
import {
  type CountersByKey,
  ELEMENTS_PER_REQUEST,
  type ElementCounters,
  type ReadElement,
  readElements,
  writeElementRequest,
} from '../elements.js';
import { ElementDigest } from '../listing/ElementDigest.js';
import { digestMessage, ElementListing } from '../listing/ElementListing.js';
import { printTransaction } from '../printTransaction.js';
import type { SetSpec } from '../SetSpec.js';
import type { Rule } from '../statements.js';
import type { Transaction } from '../Transaction.js';
import { type CountersBySet, type WrittenTransaction, writeTransaction } from '../writeTransaction.js';
import {
  countRules,
  readChains,
  readCounts,
  readRules,
  readSets,
  readTableFlags,
  type TableOutline,
  type TableState,
} from './TableState.js';

/** How much of a refused transaction an error shows, in characters. */
const SHOWN = 2000;

export class NftablesTable<Family extends TableFamily = IpFamily> {
  readonly family: Family;
  readonly name: string;
  readonly #channel: NetlinkChannel;
  /** For small transactions, one after the other: each is sent before anybody else may write. */
  readonly #writer = new MessageWriter();
  #mapTests: MapTests;
  #committed = 0;

  /** `channel` is of NetlinkProtocol.NETFILTER, with a send buffer that the largest transaction fits into. `mapTests`: at first. */
  constructor(channel: NetlinkChannel, family: Family, name: string, mapTests: MapTests = 'as in a set') {
    this.#channel = channel;
    this.family = family;
    this.name = name;
    this.#mapTests = mapTests;
  }

  /** How many transactions were committed through here; each makes one generation of the rule set. */
  get committed(): number {
    return this.#committed;
  }

  /** All but the elements. Rejects with NetlinkError. */
  async readState(): Promise<TableState | undefined> {
    const found = await this.#find();
    if (!found) return undefined;
    const chains = await this.#list('chains', NftMessage.GET_CHAIN);
    const rules = await this.#list('rules', NftMessage.GET_RULE, RuleAttribute.TABLE);
    const sets = await this.#list('sets', NftMessage.GET_SET, SetAttribute.TABLE);
    return {
      flags: readTableFlags(found),
      chains: readChains(chains, this.name),
      rules: readRules(rules),
      sets: readSets(sets, this.name),
      counts: readCounts(sets, this.name),
    };
  }

  /** Rejects with NetlinkError. */
  async readOutline(): Promise<TableOutline | undefined> {
    const found = await this.#find();
    if (!found) return undefined;
    const chains = await this.#list('chains', NftMessage.GET_CHAIN);
    const rules = await this.#list('rules', NftMessage.GET_RULE, RuleAttribute.TABLE);
    return {
      flags: readTableFlags(found),
      chains: readChains(chains, this.name),
      ruleCounts: countRules(rules),
    };
  }

  #list(what: string, type: number, tableAttribute?: number): Promise<readonly Message[]> {
    return this.#dump(`list the ${what} of table ${this.name}`, type, (writer) => {
      if (tableAttribute !== undefined) writer.string(tableAttribute, this.name);
    });
  }

  async exists(): Promise<boolean> {
    return (await this.#find()) !== undefined;
  }

  /** What the kernel says of the table itself; undefined when there is none. */
  async #find(): Promise<readonly Message[] | undefined> {
    const writer = new MessageWriter(64);
    beginNetfilterMessage(writer, NftMessage.GET_TABLE, 0, FAMILY_NUMBER[this.family]);
    writer.string(TableAttribute.NAME, this.name);
    writer.endMessage();
    return unlessAbsent(this.#channel.request(`look for table ${this.name}`, writer));
  }

  /** The elements of a set of this table. Rejects with NetlinkError, ENOENT when there is no such set. */
  async listElements(set: SetSpec): Promise<ElementListing> {
    const messages = await this.#dump(`list ${set.name}`, NftMessage.GET_ELEMENTS, (writer) => {
      writer.string(ElementList.TABLE, this.name);
      writer.string(ElementList.SET, set.name);
    });
    return new ElementListing(messages);
  }

  /** What the elements of a set come to; the same whatever their order. Keeps none. Rejects as listElements() does. */
  async digestElements(set: Pick<SetSpec, 'name'>): Promise<ElementDigest> {
    const writer = new MessageWriter(128);
    beginNetfilterMessage(writer, NftMessage.GET_ELEMENTS, 0, FAMILY_NUMBER[this.family]);
    writer.string(ElementList.TABLE, this.name);
    writer.string(ElementList.SET, set.name);
    writer.endMessage();
    return this.#channel.streamWhole(
      `list ${set.name}`,
      writer,
      () => new ElementDigest(),
      (message, digest) => digestMessage(message, digest),
    );
  }

  /**
   * Adds to `digest` what the elements with these keys come to. False when one of them is not there; then `digest` has some of them.
   * Takes a time that grows with the keys, where that of a listing grows with the square of the elements. Rejects with NetlinkError.
   */
  async digestKeys(
    set: Pick<SetSpec, 'name'>,
    keys: readonly string[],
    digest: ElementDigest,
  ): Promise<boolean> {
    for (const writer of this.#requestsFor({ key: { types: [] }, ...set }, keys)) {
      const what = `look for elements of ${set.name}`;
      const answered = this.#channel.requestEach(what, writer, (message) => digestMessage(message, digest));
      if ((await unlessAbsent(answered.then(() => true))) === undefined) return false;
    }
    return true;
  }

  /** Calls back for each element of a set of this table. Rejects as listElements() does. */
  async readElements(set: SetSpec, take: (element: ReadElement) => void): Promise<void> {
    (await this.listElements(set)).each(take);
  }

  /** Those of the keys that a set of this table has. Rejects with NetlinkError. */
  async findElements(set: SetSpec, keys: readonly string[]): Promise<readonly ReadElement[]> {
    const found: ReadElement[] = [];
    // One by one: of several the kernel says nothing more after the first that is missing.
    for (const key of keys) {
      const writer = new MessageWriter(256);
      writeElementRequest(writer, this.family, this.name, set, [key]);
      const messages = await unlessAbsent(
        this.#channel.request(`look for an element of ${set.name}`, writer),
      );
      readElements(messages ?? [], (element) => found.push(element));
    }
    return found;
  }

  /**
   * All of it or nothing. Elements that count and are replaced go on from where they were.
   * Rejects with PENSTOCK_NFTABLES_REFUSED, or with NetlinkError when the outcome is unknown.
   */
  async commit(transaction: Transaction): Promise<void> {
    const counters = keepsCounters(transaction) ? await this.#countersToKeep(transaction) : NO_COUNTERS;
    const { first, subjectOf } = await this.#send(
      `write table ${this.name}`,
      transaction,
      'to commit',
      counters,
    );
    if (first === undefined) {
      this.#committed++;
      return;
    }
    const subject = subjectOf(first.index ?? 0);
    throw new PenstockError(
      'PENSTOCK_NFTABLES_REFUSED',
      `${this.family}: the kernel refused ${subject}: ${first.message}`,
      {
        cause: new Error(`the transaction was:\n${shorten(printTransaction(transaction))}`, { cause: first }),
        remedy:
          'Everything is read again and the difference written; `penstock doctor` shows what this kernel lacks.',
      },
    );
  }

  /** Resolves when all transactions that others had begun are done with, notices included. Changes nothing, and is no generation. */
  async awaitOthers(): Promise<void> {
    // Without flags this is no change of a table that is there; if it is gone, the generation tells.
    const error = await this.#commitOne(`wait for other writers of ${this.name}`, NftMessage.NEW_TABLE);
    if (error) throw error;
  }

  /** What the kernel would say to a transaction. It looks at all of it and forgets it, as with `nft --check`. */
  async check(transaction: Transaction): Promise<NetlinkError | undefined> {
    return (await this.#send(`check table ${transaction.table}`, transaction, 'to check', new Map())).first;
  }

  /** The kernel's first error. What a kernel refuses that cannot ask maps as sets is written in the way that all take, from then on. */
  async #send(
    what: string,
    transaction: Transaction,
    purpose: 'to commit' | 'to check',
    counters: CountersBySet,
  ): Promise<Sent> {
    const write = (mapTests: MapTests) =>
      writeTransaction(transaction, counters, purpose, mapTests, this.#writer);
    const { writer, subjectOf } = write(this.#mapTests);
    const [first] = await this.#channel.transaction(what, writer);
    const sent = { first, subjectOf };
    if (first?.code !== 'EINVAL' || this.#mapTests === 'into a register') return sent;
    if (!transaction.newRules.some(({ rules }) => rules.some(testsMap))) return sent;
    const other = write('into a register');
    const again: Sent = {
      first: (await this.#channel.transaction(what, other.writer))[0],
      subjectOf: other.subjectOf,
    };
    const gotFurther = again.first === undefined || (again.first.index ?? 0) > (first.index ?? 0);
    if (!gotFurther) return sent;
    this.#mapTests = 'into a register';
    return again;
  }

  /** As late as possible: packets that match between this and the commit are not counted. */
  async #countersToKeep(transaction: Transaction): Promise<CountersBySet> {
    const kept = new Map<string, CountersByKey>();
    for (const set of transaction.newElements.keys()) {
      if (!set.counters) continue;
      const replaced = transaction.replacedKeys(set);
      if (transaction.deletedSets.includes(set.name)) kept.set(set.name, await this.#allCounters(set));
      else if (replaced.length > 0) kept.set(set.name, await this.#countersOf(set, replaced));
    }
    return kept;
  }

  async #allCounters(set: SetSpec): Promise<CountersByKey> {
    const found = new Map<string, ElementCounters>();
    await this.readElements(set, ({ key, counters }) => {
      if (counters) found.set(key, counters);
    });
    return found;
  }

  /** Without those that are not there: to delete them will be refused, which says so better. */
  async #countersOf(set: SetSpec, keys: readonly string[]): Promise<CountersByKey> {
    const found = new Map<string, ElementCounters>();
    for (const writer of this.#requestsFor(set, keys)) {
      const messages = await unlessAbsent(this.#channel.request(`read counters of ${set.name}`, writer));
      readElements(messages ?? [], ({ key, counters }) => counters && found.set(key, counters));
    }
    return found;
  }

  /** Removes the table and everything in it. False when there was none. */
  async delete(): Promise<boolean> {
    const error = await this.#commitOne(`delete table ${this.name}`, NftMessage.DELETE_TABLE);
    if (error === undefined) {
      this.#committed++;
      return true;
    }
    if (error.code === 'ENOENT') return false;
    throw error;
  }

  /** A transaction of one message about the table itself. */
  async #commitOne(what: string, type: number): Promise<NetlinkError | undefined> {
    const writer = new MessageWriter(128);
    beginTransaction(writer, NetfilterSubsystem.NFTABLES);
    beginNetfilterMessage(writer, type, 0, FAMILY_NUMBER[this.family]);
    writer.string(TableAttribute.NAME, this.name);
    writer.endMessage();
    endTransaction(writer, NetfilterSubsystem.NFTABLES);
    return (await this.#channel.transaction(what, writer))[0];
  }

  /** Requests for elements with these keys, one after the other. */
  *#requestsFor(set: Pick<SetSpec, 'name' | 'key'>, keys: readonly string[]): Generator<MessageWriter> {
    for (let first = 0; first < keys.length; first += ELEMENTS_PER_REQUEST) {
      const writer = new MessageWriter();
      const asked = keys.slice(first, first + ELEMENTS_PER_REQUEST);
      writeElementRequest(writer, this.family, this.name, set, asked);
      yield writer;
    }
  }

  #dump(what: string, type: number, selection: (writer: MessageWriter) => void): Promise<readonly Message[]> {
    const writer = new MessageWriter(128);
    beginNetfilterMessage(writer, type, 0, FAMILY_NUMBER[this.family]);
    selection(writer);
    writer.endMessage();
    return this.#channel.dump(what, writer);
  }
}

interface Sent {
  /** The kernel's first error. */
  readonly first: NetlinkError | undefined;
  readonly subjectOf: WrittenTransaction['subjectOf'];
}

const NO_COUNTERS: CountersBySet = new Map();

/** Whether elements that count may be replaced. */
function keepsCounters({ newElements, deletedElements, deletedSets }: Transaction): boolean {
  if (deletedElements.size === 0 && deletedSets.length === 0) return false;
  for (const set of newElements.keys()) if (set.counters) return true;
  return false;
}

/** Undefined where the kernel has no such thing. */
async function unlessAbsent<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function testsMap(rule: Rule): boolean {
  return rule.some(({ expressions }) => expressions.some(({ values }) => values.dreg === NOWHERE));
}

function shorten(text: string): string {
  return text.length <= SHOWN
    ? text
    : `${text.slice(0, SHOWN)}\n… and ${text.length - SHOWN} characters more`;
}
