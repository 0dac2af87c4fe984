/** The flow log of a node: the kernel tells of packets that fail, the routing table has the names. */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.js';
import { OpenList } from '../../host/OpenList.js';
import { Nflog } from '../../kernel/nflog/Nflog.js';
import { canLog } from '../../kernel/nftables/features.js';
import { FlowLog, type FlowRecord } from '../../observe/flows/FlowLog.js';
import { ServiceNames } from '../../observe/flows/ServiceNames.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Clock } from '../../time/Clock.js';

export interface OpenFlows {
  readonly log: FlowLog;
  /** What rules log to; 0: nobody listens. */
  readonly group: number;
  readonly close: () => void;
}

export interface FlowsOptions {
  readonly node: string;
  readonly table: RoutingTable;
  readonly clock: Clock;
  /** Hears of every packet, as a part of its record. */
  readonly onPacket: (record: FlowRecord) => void;
  readonly log: Logger;
}

/** Never rejects: where the kernel does not tell, nothing is logged. */
export async function openFlows({ node, table, clock, onPacket, log }: FlowsOptions): Promise<OpenFlows> {
  const names = new ServiceNames(table, () => clock.now());
  const flows = new FlowLog({ node, names: (packet) => names.of(packet), clock, date: Date.now });
  const open = new OpenList(log);
  try {
    return await open.closeUnless(async () => {
      const reader = await Nflog.open(({ words, ...packet }) =>
        onPacket(flows.add({ reason: words, ...packet })),
      );
      open.add('the log of the kernel', () => reader.close());
      if (!(await canLog(reader.channel)))
        throw new Error('this kernel has no CONFIG_NFT_LOG or CONFIG_NFT_LIMIT');
      return { log: flows, group: reader.group, close: () => reader.close() };
    });
  } catch (error) {
    log.warn(`connections that fail are not logged: ${messageOf(error)}`);
    return { log: flows, group: 0, close: () => {} };
  }
}
