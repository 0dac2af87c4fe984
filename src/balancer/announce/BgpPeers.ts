/** The sessions of this node with routers, with BFD beside them: opened, changed and closed as the BGPPeer objects say. */

import { murmur3 } from '../../balancing/murmur3.js';
import { messageOf } from '../../errors.js';
import { BFD_STATES, type NativeBfd } from '../../kernel/addon/NativeBfd.js';
import { bytesToIp, familyOf, type IpAddress, type IpFamily, ipToBytes } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Clock } from '../../time/Clock.js';
import type { Route } from '../bgp/AdjRibOut.js';
import type { OpenConnection } from '../bgp/BgpConnection.js';
import { BgpSession } from '../bgp/BgpSession.js';
import { BgpSpeaker, type SpeakerEntry } from '../bgp/BgpSpeaker.js';
import type { TcpOptions } from '../bgp/openTcp.js';
import type { BfdProfile, BgpPeer } from '../objects/announcing.js';

/** Seconds for which a router keeps the routes of an agent that restarts. */
const RESTART_SECONDS = 30;

export interface BgpPeersOptions {
  readonly node: string;
  readonly open: (options: TcpOptions) => OpenConnection;
  /** Opened with the first session that wants it, closed with this. */
  readonly openBfd: (onChanges: () => void) => NativeBfd;
  /** The text of the Secret; rejects when it cannot be had. Undefined: there is no API server. */
  readonly password: ((namespace: string, name: string) => Promise<string>) | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  /** When a session has come or gone. `peer` as in the object. */
  readonly onSession: (peer: string, up: boolean, why: string | undefined) => void;
  readonly onTrouble: (peer: string, why: string) => void;
}

/** How a session stands, for those who look. */
export interface PeerReport {
  readonly peer: string;
  readonly address: IpAddress;
  readonly state: string;
  /** Prefixes that the router has been told. */
  readonly announced: number;
  readonly reason: string | undefined;
  /** undefined: BFD is not asked for. */
  readonly bfd: string | undefined;
}

const PASSWORD_RETRY_MS = 10_000;

export class BgpPeers {
  readonly #options: BgpPeersOptions;
  readonly #speaker = new BgpSpeaker();
  #bfd: NativeBfd | undefined;
  readonly #bfdStates = new Map<IpAddress, number>();
  readonly #up = new Map<string, boolean>();
  readonly #passwords = new Map<string, string>();
  readonly #asking = new Set<string>();
  #peers: readonly BgpPeer[] = [];
  #again: (() => void) | undefined;
  readonly #cancels = new Set<() => void>();
  #closed = false;

  constructor(options: BgpPeersOptions) {
    this.#options = options;
  }

  /** Whole list. `addresses`: of this node, for the next hop of the other family and the identifier. */
  set(
    routes: ReadonlyMap<BgpPeer, readonly Route[]>,
    profiles: readonly BfdProfile[],
    addresses: readonly IpAddress[],
  ): void {
    if (this.#closed) return;
    this.#again = () => this.set(routes, profiles, addresses);
    const wanted = new Map<string, SpeakerEntry>();
    const bfd = new Map<IpAddress, BfdProfile>();
    this.#peers = [...routes.keys()];
    for (const [peer, of] of routes) {
      const password = this.#passwordOf(peer);
      if (password === undefined) continue;
      const profile = profiles.find(({ name }) => name === peer.bfdProfile);
      if (peer.bfdProfile !== '' && profile === undefined)
        this.#options.onTrouble(
          peer.name,
          `there is no BFDProfile ${peer.bfdProfile}; the session does without`,
        );
      if (profile) bfd.set(peer.address, profile);
      const key = JSON.stringify([{ ...peer, nodeSelectors: [] }, password, addresses]);
      wanted.set(objectPath(peer), {
        key,
        routes: of,
        onEnd: peer.gracefulRestart ? 'keep' : 'withdraw',
        open: () => this.#openSession(peer, password, addresses),
      });
    }
    this.#speaker.set(wanted);
    this.#setBfd(bfd);
  }

  report(): readonly PeerReport[] {
    const sessions = this.#speaker.sessions;
    return this.#peers.map((peer) => {
      const session = sessions.get(objectPath(peer));
      const bfd = this.#bfdStates.get(peer.address);
      return {
        peer: objectPath(peer),
        address: peer.address,
        state: session?.state ?? 'waiting for its password',
        announced: session?.announced ?? 0,
        reason: session?.reason,
        bfd: bfd === undefined ? undefined : BFD_STATES[bfd],
      };
    });
  }

  /** Routers that know graceful restart keep the routes for the next agent, others are asked to prefer other ways first. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const cancel of this.#cancels) cancel();
    await this.#speaker.close(
      (milliseconds) => new Promise((resolve) => this.#options.clock.after(milliseconds, resolve)),
    );
    this.#bfd?.close();
  }

  #openSession(peer: BgpPeer, password: string, addresses: readonly IpAddress[]): BgpSession {
    const { open, clock, random } = this.#options;
    const name = objectPath(peer);
    const other: Partial<Record<IpFamily, IpAddress>> = {};
    for (const address of addresses) other[familyOf(address)] ??= address;
    const internal = peer.peerAsn === 'internal' || peer.peerAsn === peer.myAsn;
    const session: BgpSession = new BgpSession({
      myAsn: peer.myAsn,
      peerAsn: peer.peerAsn,
      identifier: peer.routerId ?? other.IPv4 ?? this.#identifier(),
      holdTime: peer.holdTime,
      keepaliveTime: peer.keepaliveTime,
      connectTime: peer.connectTime,
      restartSeconds: peer.gracefulRestart ? RESTART_SECONDS : undefined,
      otherNextHops: other,
      open: open({
        address: peer.address,
        port: peer.port,
        sourceAddress: peer.sourceAddress,
        password,
        distance: peer.ttlSecurity ? 'security' : internal || peer.multiHop ? 'far' : 'neighbour',
      }),
      clock,
      random,
      onChange: () => {
        const up = session.state === 'established';
        if ((this.#up.get(name) ?? false) === up) return;
        this.#up.set(name, up);
        if (!this.#closed) this.#options.onSession(name, up, session.reason);
      },
    });
    return session;
  }

  /** RFC 6286: any number that is unique in the AS. */
  #identifier(): IpAddress {
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setUint32(0, murmur3(this.#options.node, 0) || 1);
    return bytesToIp(new Uint8Array(bytes.buffer));
  }

  /** Undefined while it is asked for. */
  #passwordOf(peer: BgpPeer): string | undefined {
    if (peer.passwordSecret === '') return peer.password;
    const key = `${peer.namespace}/${peer.passwordSecret}`;
    const known = this.#passwords.get(key);
    if (known !== undefined || this.#asking.has(key)) return known;
    const { password, onTrouble } = this.#options;
    if (password === undefined) {
      onTrouble(peer.name, 'passwordSecret needs an API server; give password instead');
      return undefined;
    }
    this.#asking.add(key);
    password(peer.namespace, peer.passwordSecret).then(
      (text) => {
        this.#asking.delete(key);
        this.#passwords.set(key, text);
        this.#again?.();
      },
      (error) => {
        onTrouble(peer.name, `Secret ${key} cannot be read: ${messageOf(error)}`);
        this.#after(PASSWORD_RETRY_MS, () => {
          this.#asking.delete(key);
          this.#again?.();
        });
      },
    );
    return undefined;
  }

  #after(milliseconds: number, action: () => void): void {
    if (this.#closed) return;
    const cancel = this.#options.clock.after(milliseconds, () => {
      this.#cancels.delete(cancel);
      if (!this.#closed) action();
    });
    this.#cancels.add(cancel);
  }

  #setBfd(wanted: ReadonlyMap<IpAddress, BfdProfile>): void {
    if (wanted.size === 0 && this.#bfd === undefined) return;
    this.#bfd ??= this.#options.openBfd(() => this.#takeBfd());
    for (const address of this.#bfdStates.keys()) {
      if (wanted.has(address)) continue;
      this.#bfd.remove(ipToBytes(address));
      this.#bfdStates.delete(address);
    }
    for (const [address, profile] of wanted) {
      this.#bfd.add({
        peer: ipToBytes(address),
        source: new Uint8Array(),
        transmitMs: profile.transmitInterval,
        receiveMs: profile.receiveInterval,
        multiplier: profile.detectMultiplier,
        passive: profile.passive ? 1 : 0,
        leastTtl: profile.minimumTtl ?? 255,
      });
      if (!this.#bfdStates.has(address)) this.#bfdStates.set(address, BFD_STATES.indexOf('down'));
    }
  }

  #takeBfd(): void {
    if (this.#closed) return;
    for (const { peer, state, diag } of this.#bfd?.takeChanges() ?? []) {
      const address = bytesToIp(peer);
      const before = this.#bfdStates.get(address);
      if (before === undefined) continue;
      this.#bfdStates.set(address, state);
      // "Admin down" is no failure (RFC 5882, 4.3).
      const failed = BFD_STATES[before] === 'up' && BFD_STATES[state] === 'down' && diag !== 7;
      for (const of of this.#peers) {
        if (of.address !== address) continue;
        const session = this.#speaker.sessions.get(objectPath(of));
        if (failed) session?.bfdDown();
        else if (BFD_STATES[state] === 'up') session?.retryNow();
      }
    }
  }
}
