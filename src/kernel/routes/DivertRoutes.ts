/**
 * Routing for sockets that are bound to addresses of others: marked packets are local, whatever their destination
 * (linux/fib_rules.h, linux/rtnetlink.h; the kernel's Documentation/networking/tproxy.rst).
 */
import type { IpFamily } from '../../net/ip.js';
import { MessageFlag, NetlinkProtocol } from '../netlink/constants.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';

/** RTM_*. */
const NEW_ROUTE = 24;
const DELETE_ROUTE = 25;
const NEW_RULE = 32;
const DELETE_RULE = 33;
/** FRA_*. */
const RuleAttribute = { PRIORITY: 6, MARK: 10, TABLE: 15, MASK: 16, PROTOCOL: 21 } as const;
/** FR_ACT_TO_TBL. */
const TO_TABLE = 1;
/** RTA_*. */
const RouteAttribute = { OUTPUT_INTERFACE: 4, TABLE: 15 } as const;
/** RTN_LOCAL, RT_SCOPE_HOST. */
const LOCAL = 2;
const SCOPE_HOST = 254;
/** RTPROT_*: nobody else's number, so that the rule and the route can be told to be ours. */
const PROTOCOL = 207;
/** The loopback interface is the first of every network namespace. */
const LOOPBACK_INTERFACE = 1;
const FAMILY = { IPv4: 2, IPv6: 10 } as const;

export interface DivertOptions {
  /** One bit of the packet mark. */
  readonly mark: number;
  readonly table: number;
  /** Of the rule; smaller comes first. */
  readonly priority: number;
}

export class DivertRoutes {
  readonly #options: DivertOptions;

  constructor(options: DivertOptions) {
    this.#options = options;
  }

  /** `fwmark MARK/MARK lookup TABLE`, and in the table everything local. What is there stays. Rejects with NetlinkError. */
  async add(family: IpFamily): Promise<void> {
    await this.#each(
      family,
      'add',
      [NEW_ROUTE, NEW_RULE],
      MessageFlag.CREATE | MessageFlag.EXCLUSIVE,
      'EEXIST',
    );
  }

  /** False when there was nothing. Rejects with NetlinkError. */
  async remove(family: IpFamily): Promise<boolean> {
    return this.#each(family, 'delete', [DELETE_ROUTE, DELETE_RULE], 0, 'ENOENT', 'ESRCH', 'EAFNOSUPPORT');
  }

  /** Returns whether any of both had to be done. */
  async #each(
    family: IpFamily,
    verb: string,
    [route, rule]: readonly [number, number],
    flags: number,
    ...done: readonly string[]
  ): Promise<boolean> {
    const channel = NetlinkChannel.open(NetlinkProtocol.ROUTE);
    try {
      const attempts = [
        [`${verb} the ${family} route of table ${this.#options.table}`, this.#route(family, route, flags)],
        [`${verb} the ${family} rule for mark ${this.#options.mark}`, this.#rule(family, rule, flags)],
      ] as const;
      let changed = false;
      for (const [what, writer] of attempts) {
        try {
          await channel.request(what, writer);
          changed = true;
        } catch (error) {
          if (!(error instanceof NetlinkError) || !done.includes(error.code)) throw error;
        }
      }
      return changed;
    } finally {
      channel.close();
    }
  }

  /** struct fib_rule_hdr, bytes: u8 family, destination and source length, tos, table, two reserved, u8 action, u32 flags. */
  #rule(family: IpFamily, type: number, flags: number): MessageWriter {
    const { mark, table, priority } = this.#options;
    const writer = new MessageWriter(128);
    writer.beginMessage(type, flags);
    for (const byte of [FAMILY[family], 0, 0, 0, 0, 0, 0, TO_TABLE]) writer.putU8(byte);
    writer.putU32(0);
    writer.u32(RuleAttribute.PRIORITY, priority);
    writer.u32(RuleAttribute.MARK, mark);
    writer.u32(RuleAttribute.MASK, mark);
    writer.u32(RuleAttribute.TABLE, table);
    writer.u8(RuleAttribute.PROTOCOL, PROTOCOL);
    writer.endMessage();
    return writer;
  }

  /** struct rtmsg, bytes: u8 family, destination and source length, tos, table, protocol, scope, type, u32 flags. */
  #route(family: IpFamily, type: number, flags: number): MessageWriter {
    const writer = new MessageWriter(128);
    writer.beginMessage(type, flags);
    for (const byte of [FAMILY[family], 0, 0, 0, 0, PROTOCOL, SCOPE_HOST, LOCAL]) writer.putU8(byte);
    writer.putU32(0);
    writer.u32(RouteAttribute.TABLE, this.#options.table);
    writer.u32(RouteAttribute.OUTPUT_INTERFACE, LOOPBACK_INTERFACE);
    writer.endMessage();
    return writer;
  }
}
