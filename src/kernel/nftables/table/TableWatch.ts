/** Hears of changes of a table that others make: nft, another agent, a careless script. */
import type { IpFamily } from '../../../net/ip.js';
import { NETFILTER_HEADER } from '../../netlink/constants.js';
import type { Message } from '../../netlink/Message.js';
import type { MessageListener, NetlinkChannel } from '../../netlink/NetlinkChannel.js';
import {
  ChainAttribute,
  DORMANT,
  ElementList,
  FAMILY_NUMBER,
  GenerationAttribute,
  NFTABLES_GROUP,
  NftMessage,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from '../constants.js';

/** What was changed: the table itself, the rules of a chain, a set's elements or declaration. */
export interface ForeignChange {
  readonly family: IpFamily;
  readonly kind: 'table' | 'chain' | 'set' | 'elements';
  /** Of the chain or set. */
  readonly name: string;
  /** `chain services: a rule was deleted` */
  readonly text: string;
}

export interface TableWatchOptions {
  readonly table: string;
  /** The port of the socket that we write with: what comes from there is ours. */
  readonly ownPort: number;
  /** Chains and sets that are not ours to watch. */
  readonly ignores: (name: string) => boolean;
  /** Called once a transaction; `by` names the program, `nft (pid 4711)`. */
  readonly changed: (changes: readonly ForeignChange[], by: string) => void;
  /** Messages were lost: anything may have changed. */
  readonly lost: () => void;
}

/** Message → what it says, and which attributes name the table and the object. */
const EVENTS: Readonly<
  Record<number, { kind: ForeignChange['kind']; table: number; name: number; words: string } | undefined>
> = {
  [NftMessage.NEW_TABLE]: {
    kind: 'table',
    table: TableAttribute.NAME,
    name: TableAttribute.NAME,
    words: 'was changed',
  },
  [NftMessage.DELETE_TABLE]: {
    kind: 'table',
    table: TableAttribute.NAME,
    name: TableAttribute.NAME,
    words: 'was deleted',
  },
  [NftMessage.NEW_CHAIN]: {
    kind: 'chain',
    table: ChainAttribute.TABLE,
    name: ChainAttribute.NAME,
    words: 'was added or changed',
  },
  [NftMessage.DELETE_CHAIN]: {
    kind: 'chain',
    table: ChainAttribute.TABLE,
    name: ChainAttribute.NAME,
    words: 'was deleted',
  },
  [NftMessage.NEW_RULE]: {
    kind: 'chain',
    table: RuleAttribute.TABLE,
    name: RuleAttribute.CHAIN,
    words: 'got a rule',
  },
  [NftMessage.DELETE_RULE]: {
    kind: 'chain',
    table: RuleAttribute.TABLE,
    name: RuleAttribute.CHAIN,
    words: 'lost a rule',
  },
  [NftMessage.NEW_SET]: {
    kind: 'set',
    table: SetAttribute.TABLE,
    name: SetAttribute.NAME,
    words: 'was added or changed',
  },
  [NftMessage.DELETE_SET]: {
    kind: 'set',
    table: SetAttribute.TABLE,
    name: SetAttribute.NAME,
    words: 'was deleted',
  },
  [NftMessage.NEW_ELEMENTS]: {
    kind: 'elements',
    table: ElementList.TABLE,
    name: ElementList.SET,
    words: 'got elements',
  },
  [NftMessage.DELETE_ELEMENTS]: {
    kind: 'elements',
    table: ElementList.TABLE,
    name: ElementList.SET,
    words: 'lost elements',
  },
};

const FAMILIES = new Map<number, IpFamily>([
  [FAMILY_NUMBER.IPv4, 'IPv4'],
  [FAMILY_NUMBER.IPv6, 'IPv6'],
]);

export class TableWatch implements MessageListener {
  readonly #channel: NetlinkChannel;
  readonly #options: TableWatchOptions;
  /** Of the transaction whose messages are coming in, by text: a flush is one change, not a thousand. */
  readonly #changes = new Map<string, ForeignChange>();

  /** Listens from now on. `channel` is of NetlinkProtocol.NETFILTER, and not the one that we write with. Throws as listen(). */
  constructor(channel: NetlinkChannel, options: TableWatchOptions) {
    this.#channel = channel;
    this.#options = options;
    this.resume();
  }

  /**
   * Hears of no changes that are made from now on. While anybody on the machine listens, the kernel makes a notice of 4 KiB for each
   * element that is written; that is half of what elements cost.
   */
  pause(): void {
    this.#channel.leave([NFTABLES_GROUP]);
  }

  resume(): void {
    this.#channel.listen([NFTABLES_GROUP], this);
  }

  message(message: Message): void {
    if (message.portId === this.#options.ownPort) return;
    if (message.type === NftMessage.NEW_GENERATION) this.#endTransaction(message);
    else this.#take(message);
  }

  lost(): void {
    this.#options.lost();
  }

  #take(message: Message): void {
    const event = EVENTS[message.type];
    const family = FAMILIES.get(message.payload[0] ?? 0);
    if (!event || !family) return;
    let table = '';
    let name = '';
    let words = event.words;
    const isTable = message.type === NftMessage.NEW_TABLE;
    const attributes = message.attributes(NETFILTER_HEADER);
    while (attributes.next()) {
      if (attributes.type === event.table) table = attributes.string();
      if (attributes.type === event.name) name = attributes.string();
      if (isTable && attributes.type === TableAttribute.FLAGS && (attributes.u32be() & DORMANT) !== 0)
        words = 'was put to sleep: none of its rules is in force (flags dormant)';
      if (table !== '' && name !== '' && !isTable) break;
    }
    if (table !== this.#options.table || (event.kind !== 'table' && this.#options.ignores(name))) return;
    const noun = event.kind === 'elements' ? 'set' : event.kind;
    const text = `${noun} ${name} ${words}`;
    this.#changes.set(`${family} ${text}`, { family, kind: event.kind, name, text });
  }

  /** The last message of a transaction tells who made it (kernel 4.13). */
  #endTransaction(message: Message): void {
    if (this.#changes.size === 0) return;
    let processId = 0;
    let processName = '';
    const attributes = message.attributes(NETFILTER_HEADER);
    while (attributes.next()) {
      if (attributes.type === GenerationAttribute.PROCESS_ID) processId = attributes.u32be();
      else if (attributes.type === GenerationAttribute.PROCESS_NAME) processName = attributes.string();
    }
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    this.#options.changed(changes, processName === '' ? 'somebody' : `${processName} (pid ${processId})`);
  }
}
