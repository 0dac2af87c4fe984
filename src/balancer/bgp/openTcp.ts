/** The connection of a session over TCP, with the socket options of BGP. */
import { Socket } from 'node:net';
import { messageOf } from '../../errors.js';
import { nativeAddon } from '../../kernel/addon/nativeAddon.js';
import { type IpAddress, ipToBytes, parseIp } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';
import type { OpenConnection } from './BgpConnection.js';

export interface TcpOptions {
  readonly address: IpAddress;
  readonly port: number;
  /** Undefined: as the routing table says. */
  readonly sourceAddress: IpAddress | undefined;
  /** RFC 2385; '' for none. */
  readonly password: string;
  /**
   * `neighbour`: sent with a TTL of 1, as eBGP does; `security`: both ways with 255 (RFC 5082); `far`: as the system has it, for
   * iBGP and routers that are further away.
   */
  readonly distance: 'neighbour' | 'security' | 'far';
}

const TTL = { neighbour: [1, 0], security: [255, 255], far: [0, 0] } as const;

/** Bytes that wait for a router which does not read; it is as good as dead. */
const MOST_WAITING = 64 << 20;

/** Milliseconds for what was written before the end: a router that keeps its window shut would hold the socket forever. */
const LAST_WORDS_MS = 1000;

export function openTcp(options: TcpOptions, clock: Clock): OpenConnection {
  return (events) => {
    let socket: Socket | undefined;
    let over = false;
    const finish = (why: string) => {
      if (over) return;
      over = true;
      socket?.destroy();
      events.closed(why);
    };
    try {
      socket = openSocket(options);
    } catch (error) {
      // Nothing is heard within the call that opens.
      setImmediate(() => finish(messageOf(error)));
      return () => {
        over = true;
      };
    }
    const opened = socket;
    opened.on('error', (error) => finish(messageOf(error)));
    opened.on('close', () => finish('the router closed the connection'));
    opened.on('data', (bytes) => {
      if (!over) events.data(bytes);
    });
    opened.connect({ host: options.address, port: options.port }, () => {
      if (over) return;
      opened.setNoDelay(true);
      events.opened({
        localAddress: parseIp(opened.localAddress ?? '') ?? options.address,
        write: (bytes) => {
          if (over) return;
          opened.write(bytes);
          if (opened.writableLength > MOST_WAITING) setImmediate(() => finish('the router does not read'));
        },
        close: () => {
          over = true;
          // What was written goes out, if the router reads; nobody waits for the other side's end.
          opened.once(
            'close',
            clock.after(LAST_WORDS_MS, () => opened.destroy()),
          );
          opened.end(() => opened.destroy());
        },
      });
    });
    return () => {
      if (over) return;
      over = true;
      opened.destroy();
    };
  };
}

function openSocket({ address, sourceAddress, password, distance }: TcpOptions): Socket {
  const [ttl, minTtl] = TTL[distance];
  const source = sourceAddress === undefined ? new Uint8Array() : ipToBytes(sourceAddress);
  const fd = nativeAddon().bgpSocket(ipToBytes(address), source, password, ttl, minTtl);
  // It is not connected yet: reading begins when it is. The types of Node do not know the option.
  return new Socket({ fd, readable: true, writable: true, manualStart: true } as ConstructorParameters<
    typeof Socket
  >[0]);
}
