/** An HTTP proxy that knows CONNECT and nothing else. */
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Test } from 'tap';

export interface ConnectProxy {
  /** `127.0.0.1:3128` */
  readonly host: string;
  /** What was asked for, with the credentials that came along. */
  readonly tunnels: { readonly target: string; readonly authorization: string | undefined }[];
  /** HTTP status of the answer; 0: none at all. */
  status: number;
}

export async function connectProxy(t: Test): Promise<ConnectProxy> {
  const proxy = { host: '', tunnels: [] as ConnectProxy['tunnels'], status: 200 };
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request, client) => {
    const target = request.url ?? '';
    proxy.tunnels.push({ target, authorization: request.headers['proxy-authorization'] });
    client.on('error', () => undefined);
    if (proxy.status === 0) return;
    if (proxy.status !== 200) {
      client.end(`HTTP/1.1 ${proxy.status} No\r\n\r\n`);
      return;
    }
    const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(target) ?? [];
    const upstream = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  proxy.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}
