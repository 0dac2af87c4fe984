/** The flow log of a node: the kernel tells of packets that fail, the routing table has the names. */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.js';
import { OpenList } from '../../host/OpenList.js';
import { Nflog } from '../../kernel/nflog/Nflog.js';
import { canLog } from '../../kernel/nftables/features.js';
import { type FailedPacket, FlowLog, type FlowRecord } from '../../observe/flows/FlowLog.js';
import { ServiceNames } from '../../observe/flows/ServiceNames.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Clock } from '../../time/Clock.js';
import { openUnanswered } from './openUnanswered.js';

export interface OpenFlows {
  readonly log: FlowLog;
  /** What rules log to; 0: nobody listens. */
  readonly group: number;
  readonly close: () => void;
}

export interface FlowsOptions {
  readonly mode: string;
  readonly node: string;
  readonly table: RoutingTable;
  readonly clock: Clock;
  /** Hears of every packet, as a part of its record, whose count may be behind. */
  readonly onPacket: (record: FlowRecord) => void;
  /** Hears of each record before its first packet. */
  readonly onRecord: (record: FlowRecord) => void;
  readonly log: Logger;
}

/** Never rejects: where the kernel does not tell, nothing is logged. */
export async function openFlows(options: FlowsOptions): Promise<OpenFlows> {
  const { mode, node, table, clock, onPacket, onRecord, log } = options;
  const names = new ServiceNames(table, () => clock.now());
  const flows = new FlowLog({
    node,
    names: (packet) => names.of(packet),
    clock,
    date: () => clock.date(),
    begun: onRecord,
  });
  const reader = await openReader((packet) => onPacket(flows.add(packet)), log);
  const stop = openUnanswered({
    mode,
    clock,
    // What is sent on for somebody else (host ports, containers) is not ours to tell.
    take: (packet) => {
      if (names.of(packet).service !== '') onPacket(flows.add(packet));
    },
    warn: (text) => log.warn(text),
  });
  const close = () => {
    stop();
    reader?.close();
  };
  return { log: flows, group: reader?.group ?? 0, close };
}

/** Packets that rules hand to the kernel's log. */
async function openReader(take: (packet: FailedPacket) => void, log: Logger): Promise<Nflog | undefined> {
  const open = new OpenList(log);
  try {
    return await open.closeUnless(async () => {
      const reader = await Nflog.open(({ words, ...packet }) => take({ reason: words, ...packet }));
      open.add('the log of the kernel', () => reader.close());
      if (!(await canLog(reader.channel)))
        throw new Error('this kernel has no CONFIG_NFT_LOG or CONFIG_NFT_LIMIT');
      return reader;
    });
  } catch (error) {
    log.warn(`connections that fail are not logged: ${messageOf(error)}`);
    return undefined;
  }
}
