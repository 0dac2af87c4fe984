/** The TCP connection of a session, as the session sees it. */
import type { IpAddress } from '../../net/ip.js';

export interface BgpConnection {
  readonly localAddress: IpAddress;
  write(bytes: Uint8Array): void;
  /** Sends what was written, then ends the connection. Nothing is heard of it any more. */
  close(): void;
}

export interface BgpConnectionEvents {
  opened(connection: BgpConnection): void;
  data(bytes: Uint8Array): void;
  /** Also when it could not be opened. Called once, and not after close(). */
  closed(why: string): void;
}

/** Begins to open one. Answers how to give up; nothing is heard after that. */
export type OpenConnection = (events: BgpConnectionEvents) => () => void;
