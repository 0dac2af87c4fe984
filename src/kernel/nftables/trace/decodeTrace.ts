/** What the kernel tells of a packet that is traced (NFT_MSG_TRACE), and what a rule says of itself. */
import { bytesToIp, type IpAddress } from '../../../net/ip.js';
import type { AttributeReader } from '../../netlink/AttributeReader.js';
import { NETFILTER_HEADER } from '../../netlink/constants.js';
import type { Message } from '../../netlink/Message.js';
import { RuleAttribute } from '../constants.js';
import { readVerdict, type Verdict } from '../Expression.js';

/** NFTA_TRACE_*. */
const TraceAttribute = {
  TABLE: 1,
  CHAIN: 2,
  RULE_HANDLE: 3,
  TYPE: 4,
  VERDICT: 5,
  ID: 6,
  NETWORK_HEADER: 8,
  TRANSPORT_HEADER: 9,
  POLICY: 16,
} as const;

/** NFT_TRACETYPE_*: the end of a chain at a hook, the end of another chain, a rule that matched. */
const TYPES: Readonly<Record<number, TraceEvent['type'] | undefined>> = {
  1: 'policy',
  2: 'return',
  3: 'rule',
};
/** NF_ACCEPT. */
const ACCEPT = 1;

export interface TraceEvent {
  /** The same for one packet until it is rewritten. */
  readonly id: number;
  /** NFPROTO_* of the table. */
  readonly family: number;
  readonly table: string;
  readonly chain: string;
  readonly type: 'policy' | 'return' | 'rule';
  /** Of a rule; 0 otherwise. */
  readonly handle: number;
  readonly verdict: Verdict;
  /** In the first event of each chain at a hook: as the packet then is. */
  readonly packet: TracedPacket | undefined;
}

export interface TracedPacket {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Undefined for what is no such event. */
export function decodeTrace(message: Message): TraceEvent | undefined {
  const reader = message.attributes(NETFILTER_HEADER);
  const text = { table: '', chain: '' };
  let [id, kind, handle] = [0, 0, 0];
  let verdict: Verdict = { code: ACCEPT };
  let policy: Verdict | undefined;
  let network: Uint8Array = new Uint8Array();
  let transport: Uint8Array = network;
  while (reader.next()) {
    if (reader.type === TraceAttribute.TABLE) text.table = reader.string();
    else if (reader.type === TraceAttribute.CHAIN) text.chain = reader.string();
    else if (reader.type === TraceAttribute.RULE_HANDLE) handle = reader.u64be();
    else if (reader.type === TraceAttribute.TYPE) kind = reader.u32be();
    else if (reader.type === TraceAttribute.VERDICT) verdict = readVerdict(reader.children());
    else if (reader.type === TraceAttribute.ID) id = reader.u32be();
    else if (reader.type === TraceAttribute.NETWORK_HEADER) network = reader.bytes();
    else if (reader.type === TraceAttribute.TRANSPORT_HEADER) transport = reader.bytes();
    else if (reader.type === TraceAttribute.POLICY) policy = { code: reader.u32be() };
  }
  const type = TYPES[kind];
  if (type === undefined || text.chain === '') return undefined;
  return {
    id,
    family: message.payload[0] ?? 0,
    ...text,
    type,
    handle,
    verdict: type === 'policy' ? (policy ?? verdict) : verdict,
    packet: decodePacket(network, transport),
  };
}

function decodePacket(network: Uint8Array, transport: Uint8Array): TracedPacket | undefined {
  const version = (network[0] ?? 0) >> 4;
  const [at, size] = version === 6 ? [8, 16] : [12, 4];
  if (network.length < at + 2 * size || transport.length < 4) return undefined;
  const port = (offset: number) => ((transport[offset] ?? 0) << 8) | (transport[offset + 1] ?? 0);
  return {
    source: bytesToIp(network.slice(at, at + size)),
    destination: bytesToIp(network.slice(at + size, at + 2 * size)),
    sourcePort: port(0),
    destinationPort: port(2),
  };
}

/** NFTNL_UDATA_RULE_COMMENT: a type, a length, text with a NUL. */
const COMMENT = 0;
/** NFTA_LIST_ELEM, NFTA_EXPR_*, NFTA_MATCH_*. */
const Inside = { NAME: 1, DATA: 2, MATCH_NAME: 1, MATCH_INFO: 3 } as const;

/** The comment of a rule, be it nft's own or iptables' (`-m comment`); '' when there is none. */
export function readRuleComment(message: Message): string {
  const reader = message.attributes(NETFILTER_HEADER);
  let comment = '';
  while (reader.next()) {
    if (reader.type === RuleAttribute.USERDATA) {
      const data = reader.latin1();
      if (data.charCodeAt(0) === COMMENT)
        comment = data.slice(2, 2 + data.charCodeAt(1)).replace(/\0.*$/s, '');
    } else if (reader.type === RuleAttribute.EXPRESSIONS) {
      const list = reader.children();
      while (list.next()) comment = matchComment(list.children()) ?? comment;
    }
  }
  return comment;
}

function matchComment(reader: AttributeReader): string | undefined {
  let isMatch = false;
  let [name, info] = ['', ''];
  while (reader.next()) {
    if (reader.type === Inside.NAME) isMatch = reader.string() === 'match';
    else if (reader.type === Inside.DATA && isMatch) {
      const match = reader.children();
      while (match.next()) {
        if (match.type === Inside.MATCH_NAME) name = match.string();
        else if (match.type === Inside.MATCH_INFO) info = match.string();
      }
    }
  }
  return name === 'comment' ? info : undefined;
}
