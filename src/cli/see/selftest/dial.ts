/** One connection, as a client makes it, and what became of it. */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

export type DialAnswer =
  /** `text`: the first that was said; '' when a connection was made and nothing was waited for. */
  | { readonly type: 'answered'; readonly text: string }
  | { readonly type: 'refused' }
  /** No word until the patience was over. */
  | { readonly type: 'silent' }
  /** The kernel did not let it out (EPERM): so it tells a local UDP client, whether a rule rejects or drops. */
  | { readonly type: 'forbidden' }
  | { readonly type: 'broken'; readonly why: string };

export interface DialOptions {
  readonly target: Target;
  /** Milliseconds. */
  readonly patience: number;
  /** What the client says first: of UDP always something. */
  readonly say?: Uint8Array | string;
  /** Whether an answer is waited for, or a connection that was accepted is enough. */
  readonly listen: boolean;
}

/** Never rejects. The source port is the kernel's choice, another one each time. */
export function dial(options: DialOptions): Promise<DialAnswer> {
  return options.target.protocol === 'TCP' ? dialTcp(options) : dialUdp(options);
}

function dialTcp({ target: { host, port }, patience, say, listen }: DialOptions): Promise<DialAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answer: DialAnswer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end({ type: 'silent' }), patience);
    socket.once('error', (error) => end(failed(error)));
    socket.once('connect', () => {
      if (say !== undefined) socket.write(say);
      if (!listen) end({ type: 'answered', text: '' });
    });
    socket.once('data', (data) => end({ type: 'answered', text: data.toString() }));
    socket.once('end', () => end({ type: 'broken', why: 'closed without a word' }));
  });
}

function dialUdp({ target: { host, port }, patience, say = '?' }: DialOptions): Promise<DialAnswer> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    let ended = false;
    const end = (answer: DialAnswer) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => end({ type: 'silent' }), patience);
    socket.on('error', (error) => end(failed(error)));
    socket.once('message', (data) => end({ type: 'answered', text: data.toString('latin1') }));
    // Connected: the kernel then tells of an ICMP error, which is how UDP is refused.
    socket.connect(port, host, (error?: Error) => {
      if (error) end(failed(error));
      else socket.send(say, (sendError) => sendError && end(failed(sendError)));
    });
  });
}

function failed(error: Error): DialAnswer {
  const { code = error.message } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return { type: 'refused' };
  return code === 'EPERM' ? { type: 'forbidden' } : { type: 'broken', why: code };
}
