/**
 * A table that makes the kernel tell of packets: the first ones of connections from one address to one address and port are
 * marked for the trace as they come in, and met again at the last places they come by, with the addresses they then have.
 * It decides nothing. The kernel deletes it with the socket that made it (NFT_TABLE_F_OWNER), however its program ends.
 */
import type { Cidr, IpAddress, IpFamily } from '../../../net/ip.js';
import { TABLE_OWNED } from '../constants.js';
import { portKey } from '../dataTypes.js';
import { expression } from '../Expression.js';
import { DESTINATION_PORT, FIELDS, MetaKey, registerNumber } from '../fields.js';
import {
  hasTcpFlags,
  isProtocol,
  limited,
  prefix,
  type Rule,
  type Statement,
  TCP_ACK,
  TCP_SYN,
} from '../statements.js';
import { Transaction } from '../Transaction.js';

export const TRACE_TABLE = 'penstock-trace';

/** How the names of the chains begin that mark packets. */
export const BEGINS = 'trace-';
/** Chains that a packet comes by last: it goes to this node itself, or it leaves. */
export const DELIVERED = 'delivered';
export const SENT = 'sent';

export interface TracePattern {
  readonly family: IpFamily;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** An address, this node with whatever address it takes, or whoever is not this node. */
  readonly from: IpAddress | 'node' | 'elsewhere';
  readonly destination: IpAddress;
  readonly port: number;
}

/** Before the connection is looked up, and before everybody's rules but those that begin as early. */
const FIRST = -350;
/** After everybody's NAT. */
const LAST = 400;
const REGISTER = registerNumber(0);
const EQUAL = 0;
/** Packets traced in a second, so that a flood of the same connections costs no more. */
const RATE = 5;

const TRACE: Statement = {
  text: 'meta nftrace set 1',
  expressions: [
    expression('immediate', { dreg: REGISTER, data: '\x01' }),
    expression('meta', { key: MetaKey.NFTRACE, sreg: REGISTER }),
  ],
};

/** SYN without ACK: the first packet of a TCP connection. */
const IS_FIRST = hasTcpFlags('tcp flags syn / syn,ack', TCP_SYN | TCP_ACK, TCP_SYN);

function toPort(port: number): Statement {
  return {
    text: `th dport ${port}`,
    expressions: [
      ...DESTINATION_PORT.load(0, 0),
      expression('cmp', { sreg: REGISTER, op: EQUAL, data: portKey(port).slice(0, 2) }),
    ],
  };
}

export function traceTable({ family, protocol, from, destination, port }: TracePattern): Transaction {
  const { sourceAddress, destinationAddress } = FIELDS[family];
  const only = (address: IpAddress) => `${address}/${family === 'IPv4' ? 32 : 128}` as Cidr;
  const rule: Rule = [
    prefix(destinationAddress, 'is', only(destination)),
    ...(from === 'node' || from === 'elsewhere' ? [] : [prefix(sourceAddress, 'is', only(from))]),
    isProtocol(protocol),
    toPort(port),
    ...(protocol === 'tcp' ? [IS_FIRST] : []),
    limited(RATE, RATE),
    TRACE,
  ];
  const transaction = new Transaction(family, TRACE_TABLE);
  transaction.createTable = true;
  transaction.tableFlags = TABLE_OWNED;
  for (const hook of ['prerouting', 'output'] as const) {
    if (from === (hook === 'output' ? 'elsewhere' : 'node')) continue;
    transaction.addChain({
      name: `${BEGINS}${hook}`,
      hook: { type: 'filter', hook, priority: FIRST },
      rules: [rule],
    });
  }
  transaction.addChain({
    name: DELIVERED,
    hook: { type: 'filter', hook: 'input', priority: LAST },
    rules: [],
  });
  transaction.addChain({
    name: SENT,
    hook: { type: 'filter', hook: 'postrouting', priority: LAST },
    rules: [],
  });
  return transaction;
}
