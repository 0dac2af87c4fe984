/**
 * A session with one router, which only announces (RFC 4271, section 8, as far as it concerns the side that connects and never
 * listens). Connection and clock come from outside.
 */
import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';
import { AdjRibOut, type Route } from './AdjRibOut.js';
import type { BgpConnection, OpenConnection } from './BgpConnection.js';
import { Cease, ErrorCode, MessageType, notificationText, OpenError } from './constants.js';
import {
  BgpError,
  type BgpMessage,
  checkUpdate,
  decodeNotification,
  decodeOpen,
  decodeRouteRefresh,
  MessageStream,
  type PeerOpen,
} from './decode.js';
import { encodeEndOfRib, encodeKeepalive, encodeNotification, encodeOpen } from './encode.js';

export interface BgpSessionOptions {
  readonly myAsn: number;
  readonly peerAsn: number | 'internal' | 'external';
  readonly identifier: IpAddress;
  /** Seconds. */
  readonly holdTime: number;
  /** Seconds; undefined: a third of the hold time in force. */
  readonly keepaliveTime: number | undefined;
  /** Seconds between tries; undefined: 1, doubling to 60. */
  readonly connectTime: number | undefined;
  /** Seconds for which the router keeps the routes of an agent that restarts; undefined: no graceful restart. */
  readonly restartSeconds: number | undefined;
  /** Of the family that the connection is not of. */
  readonly otherNextHops: Readonly<Partial<Record<IpFamily, IpAddress>>>;
  readonly open: OpenConnection;
  readonly clock: Clock;
  /** 0 up to 1. */
  readonly random: () => number;
  /** When the state has changed, or the reason why there is no session. */
  readonly onChange: () => void;
}

export type BgpState = 'idle' | 'connect' | 'open sent' | 'open confirm' | 'established';

/** Seconds. */
const CONNECT_LIMIT = 10;
const OPEN_LIMIT = 30;
const FIRST_RETRY = 1;
const LONGEST_RETRY = 60;
/** From one answer to a ROUTE-REFRESH of a family to the next: a router whose filters are edited asks once for each edit. */
const REFRESH_EVERY = 5;
const GRACEFUL_SHUTDOWN = { type: 'standard', value: 0xffff_0000 } as const;

type TimerName = 'connect' | 'hold' | 'keepalive' | 'retry' | `refresh ${IpFamily}`;

export class BgpSession {
  readonly #options: BgpSessionOptions;
  readonly #rib = new AdjRibOut();
  #state: BgpState = 'idle';
  #routes: readonly Route[] = [];
  #giveUp: (() => void) | undefined;
  #connection: BgpConnection | undefined;
  #stream = new MessageStream();
  #peer: PeerOpen | undefined;
  #cancelTimers = new Map<TimerName, () => void>();
  /** When everything of a family was told last because the router asked, on the clock. */
  readonly #refreshedAt = new Map<IpFamily, number>();
  #failures = 0;
  /** The peer refused an OPEN with capabilities. */
  #plainOpen = false;
  /** The first session of this process: the peer may hold routes of the one before. */
  #isFirst = true;
  #stopping = false;
  #reason: string | undefined;
  #establishedAt: number | undefined;

  constructor(options: BgpSessionOptions) {
    this.#options = options;
  }

  get state(): BgpState {
    return this.#state;
  }

  /** Why there is no session; undefined while there is one or none was lost yet. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Prefixes that the router has been told. */
  get announced(): number {
    return this.#state === 'established' ? this.#rib.size : 0;
  }

  /** On the clock. */
  get establishedAt(): number | undefined {
    return this.#establishedAt;
  }

  get peer(): PeerOpen | undefined {
    return this.#peer;
  }

  start(): void {
    if (this.#state === 'idle' && !this.#stopping) this.#connect();
  }

  /** Whole list. */
  setRoutes(routes: readonly Route[]): void {
    this.#routes = routes;
    this.#rib.want(routes);
    if (this.#state === 'established') this.#sendRoutes();
  }

  /** BFD says that the router does not answer. */
  bfdDown(): void {
    if (this.#connection) this.#fail('BFD: the router does not answer', ErrorCode.CEASE, Cease.BFD_DOWN);
  }

  /** What BFD or an administrator waits for: the next try comes at once. */
  retryNow(): void {
    if (this.#state === 'idle' && !this.#stopping) this.#connect();
  }

  /** RFC 8326: asks the router to prefer other ways, so that none is lost when the routes go. */
  drain(): void {
    this.#rib.want(
      this.#routes.map((route) => ({ ...route, communities: [...route.communities, GRACEFUL_SHUTDOWN] })),
    );
    if (this.#state === 'established') this.#sendRoutes();
  }

  /**
   * `withdraw`: for good. `keep`: the process ends and another one goes on; a router that helps at restarts keeps the routes for
   * the time that it was told, which a NOTIFICATION would undo.
   */
  stop(how: 'withdraw' | 'keep'): void {
    if (this.#stopping) return;
    this.#stopping = true;
    if (how === 'withdraw' && this.#connection) {
      if (this.#state === 'established') {
        this.#rib.want([]);
        this.#sendRoutes();
      }
      this.#connection.write(encodeNotification(ErrorCode.CEASE, Cease.SHUTDOWN));
    }
    this.#end();
    this.#become('idle');
  }

  #connect(): void {
    this.#cancel('retry');
    this.#stream = new MessageStream();
    this.#peer = undefined;
    this.#become('connect');
    this.#timer('connect', CONNECT_LIMIT, () => this.#lost(`no connection within ${CONNECT_LIMIT} s`));
    let current = true;
    const giveUp = this.#options.open({
      opened: (connection) => current && this.#opened(connection),
      data: (bytes) => current && this.#data(bytes),
      closed: (why) => current && this.#lost(why),
    });
    this.#giveUp = () => {
      current = false;
      giveUp();
    };
  }

  #opened(connection: BgpConnection): void {
    this.#connection = connection;
    this.#cancel('connect');
    const { myAsn, holdTime, identifier, restartSeconds } = this.#options;
    const gracefulRestart =
      restartSeconds === undefined ? undefined : { restarted: this.#isFirst, seconds: restartSeconds };
    connection.write(
      encodeOpen({
        asn: myAsn,
        holdTime,
        identifier,
        capabilities: this.#plainOpen ? undefined : { families: IP_FAMILIES, gracefulRestart },
      }),
    );
    this.#become('open sent');
    this.#timer('hold', OPEN_LIMIT, () => this.#holdExpired());
  }

  #data(bytes: Uint8Array): void {
    try {
      for (const message of this.#stream.push(bytes)) {
        if (!this.#connection) return;
        this.#take(message);
      }
    } catch (error) {
      if (!(error instanceof BgpError)) throw error;
      this.#fail(
        `the router sent what cannot be understood: ${error.message}`,
        error.errorCode,
        error.subcode,
        error.data,
      );
    }
  }

  #take({ type, body }: BgpMessage): void {
    if (type === MessageType.NOTIFICATION) this.#notified(body);
    else if (type === MessageType.OPEN && this.#state === 'open sent') this.#takeOpen(decodeOpen(body));
    else if (type === MessageType.KEEPALIVE && this.#state === 'open confirm') this.#established();
    else if (type !== MessageType.OPEN && this.#state === 'established') {
      this.#holdOn();
      if (type === MessageType.UPDATE) checkUpdate(body);
      if (type === MessageType.ROUTE_REFRESH) this.#refresh(decodeRouteRefresh(body));
    } else this.#fail(`the router sent a message of type ${type} in state ${this.#state}`, ErrorCode.FSM, 0);
  }

  #takeOpen(open: PeerOpen): void {
    const { peerAsn, myAsn, identifier } = this.#options;
    const wanted =
      peerAsn === 'internal'
        ? open.asn === myAsn
        : peerAsn === 'external'
          ? open.asn !== myAsn
          : open.asn === peerAsn;
    if (!wanted)
      throw new BgpError(ErrorCode.OPEN, OpenError.PEER_AS, `its AS is ${open.asn}, not ${peerAsn}`);
    if (open.asn === myAsn && open.identifier === identifier)
      throw new BgpError(ErrorCode.OPEN, OpenError.IDENTIFIER, `its identifier is ours, ${identifier}`);
    this.#peer = open;
    this.#connection?.write(encodeKeepalive());
    this.#become('open confirm');
    this.#holdOn();
    this.#keepalives();
  }

  #established(): void {
    this.#failures = 0;
    this.#reason = undefined;
    this.#establishedAt = this.#options.clock.now();
    this.#isFirst = false;
    this.#rib.forget();
    this.#refreshedAt.clear();
    this.#holdOn();
    this.#become('established');
    this.#sendRoutes();
    for (const family of this.#families()) this.#connection?.write(encodeEndOfRib(family));
  }

  #families(): readonly IpFamily[] {
    const both = this.#plainOpen ? (['IPv4'] as const) : IP_FAMILIES;
    return both.filter((family) => this.#peer?.families.includes(family));
  }

  #sendRoutes(): void {
    const { myAsn, otherNextHops } = this.#options;
    const peer = this.#peer;
    const connection = this.#connection;
    if (!peer || !connection) return;
    const local = connection.localAddress;
    const nextHops: Partial<Record<IpFamily, IpAddress>> = {};
    for (const family of this.#families()) {
      const ours = local.includes(':') === (family === 'IPv6') ? local : otherNextHops[family];
      if (ours !== undefined) nextHops[family] = ours;
    }
    const form = {
      asn: myAsn,
      internal: peer.asn === myAsn,
      fourOctetAs: peer.fourOctetAs && !this.#plainOpen,
      nextHops,
    };
    for (const message of this.#rib.update(form)) connection.write(message);
    this.#options.onChange();
  }

  #refresh(family: IpFamily | undefined): void {
    if (family === undefined || !this.#families().includes(family)) return;
    const now = this.#options.clock.now();
    const due = (this.#refreshedAt.get(family) ?? Number.NEGATIVE_INFINITY) + REFRESH_EVERY * 1000;
    // However often it asks meanwhile: what it is told then is the answer to all of it.
    if (now < due) {
      this.#timer(`refresh ${family}`, (due - now) / 1000, () => this.#refresh(family));
      return;
    }
    this.#refreshedAt.set(family, now);
    this.#rib.forget(family);
    this.#sendRoutes();
  }

  #notified(body: Uint8Array): void {
    const { code, subcode } = decodeNotification(body);
    const refusedCapabilities =
      code === ErrorCode.OPEN && (subcode === OpenError.PARAMETER || subcode === OpenError.CAPABILITY);
    if (refusedCapabilities) this.#plainOpen = true;
    this.#lost(`the router ended the session: ${notificationText(code, subcode)}`);
  }

  /** Seconds, the smaller of both sides; 0: never. */
  #holdSeconds(): number {
    return Math.min(this.#options.holdTime, this.#peer?.holdTime ?? this.#options.holdTime);
  }

  #holdOn(): void {
    const seconds = this.#holdSeconds();
    this.#cancel('hold');
    if (seconds > 0) this.#timer('hold', seconds, () => this.#holdExpired());
  }

  #holdExpired(): void {
    this.#fail('the router was silent for longer than the hold time', ErrorCode.HOLD_TIMER, 0);
  }

  #keepalives(): void {
    const seconds = this.#holdSeconds();
    if (seconds === 0) return;
    const every = Math.min(this.#options.keepaliveTime ?? Number.POSITIVE_INFINITY, seconds / 3);
    // RFC 4271, 10: jitter of 0.75 to 1.
    this.#timer('keepalive', every * (0.75 + this.#options.random() / 4), () => {
      this.#connection?.write(encodeKeepalive());
      this.#keepalives();
    });
  }

  #fail(why: string, code: number, subcode: number, data: Uint8Array = new Uint8Array()): void {
    this.#connection?.write(encodeNotification(code, subcode, data));
    this.#lost(why);
  }

  #lost(why: string): void {
    // The next router there may know them: one that does not costs a refused OPEN more.
    if (this.#state === 'established') this.#plainOpen = false;
    this.#end();
    this.#reason = why;
    const { connectTime, random } = this.#options;
    const base = connectTime ?? Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(this.#failures++, 10));
    this.#become('idle');
    if (!this.#stopping) this.#timer('retry', base * (0.75 + random() / 4), () => this.#connect());
  }

  /** Closes what is open. */
  #end(): void {
    for (const cancel of this.#cancelTimers.values()) cancel();
    this.#cancelTimers.clear();
    this.#connection?.close();
    this.#connection = undefined;
    this.#giveUp?.();
    this.#giveUp = undefined;
    this.#establishedAt = undefined;
  }

  #become(state: BgpState): void {
    this.#state = state;
    this.#options.onChange();
  }

  #timer(name: TimerName, seconds: number, action: () => void): void {
    this.#cancel(name);
    this.#cancelTimers.set(name, this.#options.clock.after(seconds * 1000, action));
  }

  #cancel(name: TimerName): void {
    this.#cancelTimers.get(name)?.();
    this.#cancelTimers.delete(name);
  }
}
