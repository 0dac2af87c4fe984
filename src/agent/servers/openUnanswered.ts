/** Endpoints that refuse or stay silent in kernel modes, for the flow log. */

import { messageOf } from '../../errors.js';
import { UnansweredConnections } from '../../kernel/conntrack/UnansweredConnections.js';
import { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import type { FailedPacket } from '../../observe/flows/FlowLog.js';
import type { Clock } from '../../time/Clock.js';

const EVENTS = 'net/netfilter/nf_conntrack_events';

export interface UnansweredFlows {
  readonly mode: string;
  readonly clock: Clock;
  readonly take: (packet: FailedPacket) => void;
  readonly warn: (text: string) => void;
}

/** Never throws: what the kernel does not tell is not logged. Returns how to stop. */
export function openUnanswered({ mode, clock, take, warn }: UnansweredFlows): () => void {
  // The proxy itself tries endpoints, the next one after the other, and says in its log and metrics which fail.
  if (mode === 'userspace') return () => {};
  const fails = (error: unknown) => warn(`endpoints that do not answer are not logged: ${messageOf(error)}`);
  if (new Sysctls().read(EVENTS) === '0')
    warn('endpoints that refuse are not logged: sysctl net.netfilter.nf_conntrack_events is 0');
  try {
    const connections = new UnansweredConnections({
      isMarked: mode !== 'ipvs',
      clock,
      take: (reason, { original, reply }) =>
        take({
          reason,
          protocol: 'TCP',
          source: original.source,
          destination: original.destination,
          destinationPort: original.destinationPort,
          endpoint: { address: reply.source, port: reply.sourcePort },
        }),
      onFailure: fails,
    });
    return () => connections.close();
  } catch (error) {
    fails(error);
    return () => {};
  }
}
