/**
 * TCP connections whose endpoint refuses or stays silent, as the kernel's table of connections shows them. A first packet that is
 * answered by RST ends its entry at once: the kernel tells of ends that look so, and drops the news of all others itself. One that is
 * not answered stays for two minutes: entries without an answer are listed every few seconds, more often while there are any. Such a
 * look is most of what an idle agent costs: the kernel locks each bucket of its table in turn, however few connections there are.
 */
import type { Clock } from '../../time/Clock.js';
import { MESSAGE_HEADER, NETFILTER_HEADER, NetlinkProtocol } from '../netlink/constants.js';
import { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { Conntrack } from './Conntrack.js';
import { type ConntrackEntry, isSentOn } from './ConntrackEntry.js';
import {
  ConntrackStatus,
  DESTROYED_GROUP,
  EntryAttribute,
  IpProtocol,
  MessageType,
  TCP_INFO,
  TCP_STATE,
  TcpState,
} from './constants.js';
import { EntryDecoder } from './decodeEntry.js';
import { dropProgram, filterProgram, findAttribute, mustBe } from './eventFilter.js';

export type Unanswered = 'endpoint-refused' | 'endpoint-silent';

const RECEIVE_BUFFER_BYTES = 256 * 1024;
/** Ends that are read in a second; the kernel drops the rest. */
const MOST_PER_SECOND = 50;
const SECOND_MS = 1000;
/** Without an answer for so long is silent. */
const SILENT_MS = 3000;
const LOOK_EVERY_MS = 10_000;
/** A look takes so small a share of the time. */
const LOOK_SHARE = 100;
const MOST_REMEMBERED = 10_000;

export interface UnansweredOptions {
  /** Whether the kernel marks what is sent on (IPS_DST_NAT): IPVS does not. */
  readonly isMarked: boolean;
  readonly clock: Clock;
  /** Connections that were sent on to another address only. */
  readonly take: (what: Unanswered, entry: ConntrackEntry) => void;
  /** Looking does not work, for the first time or again; it is tried on. */
  readonly onFailure: (error: unknown) => void;
  /** For tests: instead of the kernel's table. */
  readonly conntrack?: Pick<Conntrack, 'each'>;
}

/** Status bits of what has no answer, and is sent on where that is marked. */
function unanswered(isMarked: boolean): { readonly mask: number; readonly value: number } {
  const { SEEN_REPLY, DESTINATION_NAT } = ConntrackStatus;
  const mark = isMarked ? DESTINATION_NAT : 0;
  return { mask: SEEN_REPLY | mark, value: mark };
}

/** Which ends of connections the kernel tells this socket of. */
export function refusedProgram(isMarked: boolean): Uint8Array {
  const start = MESSAGE_HEADER + NETFILTER_HEADER;
  const { mask, value } = unanswered(isMarked);
  return filterProgram([
    ...findAttribute(start, [EntryAttribute.STATUS]),
    ...mustBe(value, { mask }),
    ...findAttribute(start, [EntryAttribute.PROTOCOL_INFO, TCP_INFO, TCP_STATE]),
    ...mustBe(TcpState.CLOSE, 'byte'),
  ]);
}

export class UnansweredConnections {
  readonly #options: UnansweredOptions;
  readonly #ends: NetlinkChannel;
  readonly #looks: NetlinkChannel;
  readonly #conntrack: Pick<Conntrack, 'each'>;
  readonly #decoder = new EntryDecoder();
  /** When a connection without an answer was seen first, by the kernel's id; told of: below 0. */
  #waiting = new Map<number, number>();
  #secondBegan = Number.NEGATIVE_INFINITY;
  #inSecond = 0;
  #isMuted = false;
  #cancelUnmute = () => {};
  #cancelLook = () => {};
  #hasFailed = false;
  #isClosed = false;

  /** Throws what opening a netlink socket throws, EPERM among others. */
  constructor(options: UnansweredOptions) {
    this.#options = options;
    this.#ends = NetlinkChannel.open(NetlinkProtocol.NETFILTER, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
    this.#looks = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
      receiveBufferBytes: RECEIVE_BUFFER_BYTES,
    });
    this.#conntrack = options.conntrack ?? new Conntrack(this.#looks);
    try {
      this.#ends.filter(refusedProgram(options.isMarked));
      this.#ends.listen([DESTROYED_GROUP], {
        message: ({ type, payload }) => {
          if (type === MessageType.DELETE) this.#ended(payload);
        },
        lost: () => {},
      });
    } catch (error) {
      this.close();
      throw error;
    }
    this.#plan(LOOK_EVERY_MS);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelUnmute();
    this.#cancelLook();
    this.#ends.close();
    this.#looks.close();
  }

  #ended(payload: Uint8Array): void {
    const now = this.#options.clock.now();
    if (now - this.#secondBegan >= SECOND_MS) {
      this.#secondBegan = now;
      this.#inSecond = 0;
    }
    if (this.#inSecond++ >= MOST_PER_SECOND) {
      this.#mute();
      return;
    }
    const entry = this.#decoder.decode(payload);
    if (entry && isSentOn(entry)) this.#options.take('endpoint-refused', entry);
  }

  /** A flood costs the kernel a look at each, and us nothing. */
  #mute(): void {
    if (this.#isMuted) return;
    this.#isMuted = true;
    this.#ends.filter(dropProgram());
    this.#cancelUnmute = this.#options.clock.after(SECOND_MS, () => {
      this.#isMuted = false;
      this.#ends.filter(refusedProgram(this.#options.isMarked));
    });
  }

  #plan(milliseconds: number): void {
    if (this.#isClosed) return;
    this.#cancelLook = this.#options.clock.after(milliseconds, () => {
      this.#look().then(
        ({ took, isWaiting }) => {
          this.#hasFailed = false;
          this.#plan(Math.max(isWaiting ? SILENT_MS : LOOK_EVERY_MS, took * LOOK_SHARE));
        },
        (error: unknown) => {
          if (this.#isClosed) return;
          if (!this.#hasFailed) this.#options.onFailure(error);
          this.#hasFailed = true;
          this.#plan(LOOK_EVERY_MS);
        },
      );
    });
  }

  /** Resolves with the milliseconds it took, and whether one of those seen may turn out to be silent soon. */
  async #look(): Promise<{ readonly took: number; readonly isWaiting: boolean }> {
    const { isMarked, clock, take } = this.#options;
    const begun = clock.now();
    const seen = new Map<number, number>();
    let isWaiting = false;
    await this.#conntrack.each(unanswered(isMarked), (entry) => {
      const { id, original, tcpState } = entry;
      if (original.protocol !== IpProtocol.TCP || tcpState !== TcpState.SYN_SENT || !isSentOn(entry))
        return true;
      const first = this.#waiting.get(id) ?? begun;
      const isSilent = first >= 0 && begun - first >= SILENT_MS;
      if (isSilent) take('endpoint-silent', entry);
      seen.set(id, isSilent ? -1 : first);
      if (first >= 0 && !isSilent) isWaiting = true;
      return seen.size < MOST_REMEMBERED;
    });
    this.#waiting = seen;
    return { took: clock.now() - begun, isWaiting };
  }
}
