/** Waits for one packet of the connection that was asked about, and joins what the kernel did with it to the model. */
import { connectOnce } from '../../../agent/checks/connectOnce.js';
import { messageOf, PenstockError } from '../../../errors.js';
import type { Explanation } from '../../../explain/explain.js';
import { NetlinkError } from '../../../kernel/netlink/NetlinkError.js';
import type { TraceEvent } from '../../../kernel/nftables/trace/decodeTrace.js';
import { PacketTrace } from '../../../kernel/nftables/trace/PacketTrace.js';
import type { TracePattern } from '../../../kernel/nftables/trace/traceTable.js';
import { familyOf, type IpAddress } from '../../../net/ip.js';
import { type Clock, sleep, systemClock } from '../../../time/Clock.js';
import type { Milliseconds } from '../../../time/duration.js';
import { joinTrace, type Live, ofFirstPacket } from './joinTrace.js';

/** After the first word of a packet: all that rules do with it is told within microseconds, but for a machine that is busy. */
const SETTLE_MS: Milliseconds = 300;
const CONNECT_MS: Milliseconds = 2000;
/** Of one packet. */
const MOST_EVENTS = 2000;

export interface LiveOptions {
  /** The words of the client, as they were given. */
  readonly client: string;
  readonly waitMs: Milliseconds;
  /** Says that it waits now, and for what. */
  readonly waits: (text: string) => void;
  readonly clock?: Clock;
  /** Opens the trace; for tests. */
  readonly open?: typeof PacketTrace.open;
}

/** Rejects with PENSTOCK_NOT_PRIVILEGED, PENSTOCK_CANNOT_TRACE or PENSTOCK_NO_PACKET. */
export async function traceLive(
  model: Explanation,
  { client, waitMs, waits, clock = systemClock, open = PacketTrace.open }: LiveOptions,
): Promise<Live> {
  const first = new AbortController();
  const events: TraceEvent[] = [];
  const trace = await open(patternOf(model, client), (event) => {
    if (events.length < MOST_EVENTS) events.push(event);
    first.abort();
  }).catch((error: unknown) => {
    throw cannotTrace(error);
  });
  const interrupt = () => first.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const own = ownConnection(model, clock);
    if (own === undefined)
      waits(`waiting up to ${waitMs / 1000} s for a first packet of ${whoOf(model)}: let it connect now`);
    const failure = await Promise.race([
      sleep(clock, waitMs, first.signal).then(() => undefined),
      ...(own === undefined ? [] : [own]),
    ]);
    await sleep(clock, SETTLE_MS);
    if (events.length === 0)
      throw noPacket(model, waitMs, own === undefined ? undefined : (failure ?? 'nothing'));
    const named = [];
    for (const event of ofFirstPacket(events))
      named.push({ ...event, comment: event.handle === 0 ? '' : await trace.commentOf(event) });
    return joinTrace(named, model);
  } finally {
    first.abort();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    trace.close();
  }
}

function patternOf({ client, destination }: Explanation, words: string): TracePattern {
  const address = destination.address as IpAddress;
  return {
    family: familyOf(address),
    protocol: destination.protocol.toLowerCase() as TracePattern['protocol'],
    // The node chooses its source itself; an outside without an address is anybody.
    from: client.is === 'node' ? 'node' : words === 'outside' ? 'elsewhere' : (client.address as IpAddress),
    destination: address,
    port: destination.port,
  };
}

/** The node's own TCP connections the command makes itself. */
function ownConnection(
  { client, destination }: Explanation,
  clock: Clock,
): Promise<string | undefined> | undefined {
  if (client.is !== 'node' || destination.protocol !== 'TCP') return undefined;
  return connectOnce(clock)(destination.address, destination.port, CONNECT_MS);
}

function whoOf({ client, destination, servicePort }: Explanation): string {
  return `${client.name || client.address} to ${servicePort ?? destination.address} port ${destination.port}`;
}

/** `failure`: of a connection that the command made itself. */
function noPacket(model: Explanation, waitMs: Milliseconds, failure: string | undefined): PenstockError {
  if (failure !== undefined)
    return new PenstockError(
      'PENSTOCK_NO_PACKET',
      `the connection that this command made did not come by any rule: ${failure}`,
      {
        remedy: 'ENETUNREACH, EHOSTUNREACH: this node needs a route to the address, a default route will do.',
      },
    );
  return new PenstockError(
    'PENSTOCK_NO_PACKET',
    `no packet of ${whoOf(model)} came by in ${waitMs / 1000} s`,
    {
      remedy:
        'Does the client send, and does it come to this node? A connection that stands already sends no first packet.',
    },
  );
}

function cannotTrace(error: unknown): PenstockError {
  const code = error instanceof NetlinkError ? error.code : undefined;
  if (code === 'EPERM' && process.geteuid?.() === 0)
    return new PenstockError(
      'PENSTOCK_CANNOT_TRACE',
      'another trace runs on this node, or root may not write rules here',
      {
        remedy: 'One at a time: try again when the other penstock explain --live has ended.',
        cause: error,
      },
    );
  if (code === 'EPERM')
    return new PenstockError('PENSTOCK_NOT_PRIVILEGED', 'only root may trace packets', {
      remedy: 'Run it as root, in the network namespace of the node; without --live it needs no root.',
      cause: error,
    });
  return new PenstockError('PENSTOCK_CANNOT_TRACE', `the kernel cannot trace packets: ${messageOf(error)}`, {
    remedy: 'It takes Linux 5.12 or newer with nf_tables. Without --live the model answers.',
    cause: error,
  });
}
