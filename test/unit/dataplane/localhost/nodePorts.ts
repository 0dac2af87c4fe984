/** Service ports with node ports, and proxies for them in the network namespace of the test. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';
import type { LocalhostOptions } from '../../../../src/dataplane/localhost/LocalhostOptions.js';
import { LocalhostProxy } from '../../../../src/dataplane/localhost/LocalhostProxy.js';
import { IP_FAMILIES, type IpFamily } from '../../../../src/net/ip.js';
import type { SliceEndpoint } from '../../../../src/objects/EndpointSlice.js';
import type { Protocol, Service } from '../../../../src/objects/Service.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { endpoint, endpointPort, ip, port, service, slice, tableOf } from '../../../support/builders.js';

export const NODE_PORT = 30080;
export const ENDPOINT_PORT = 8080;
export const LOOPBACK: Readonly<Record<IpFamily, string>> = { IPv4: '127.0.0.1', IPv6: '::1' };

type Row = Partial<Service> & { readonly protocol?: Protocol; readonly nodePort?: number };

/** As the routing table makes it of a Service of type NodePort. All endpoints have ENDPOINT_PORT. */
export function nodePortRow(
  endpoints: readonly (string | SliceEndpoint)[],
  { protocol = 'TCP', nodePort = NODE_PORT, ...fields }: Row = {},
): ServicePort {
  const all = endpoints.map((one) => (typeof one === 'string' ? endpoint(one) : one));
  const family: IpFamily = all[0]?.address.includes(':') ? 'IPv6' : 'IPv4';
  const clusterIPs = family === 'IPv4' ? { IPv4: ip('10.96.0.10') } : { IPv6: ip('fd00:96::10') };
  const table = tableOf([
    service({ type: 'NodePort', clusterIPs, ports: [port({ protocol, nodePort })], ...fields }),
    slice(all, { family, ports: [endpointPort({ protocol, port: ENDPOINT_PORT })] }),
  ]);
  table.commit();
  const [row] = table.servicePorts(family).values();
  if (row === undefined) throw new Error('the table is empty');
  return row;
}

/** A proxy whose every client asks for NODE_PORT, served by `row`. It always takes the first endpoint of the list. */
export async function openProxy(
  t: Pick<Test, 'teardown'>,
  row: ServicePort | undefined,
  options: Partial<LocalhostOptions> = {},
): Promise<LocalhostProxy> {
  const proxy = await LocalhostProxy.open(IP_FAMILIES, {
    originalPort: async () => NODE_PORT,
    servicePort: (family, protocol, nodePort) =>
      row?.family === family && row.protocol === protocol && row.nodePort === nodePort ? row : undefined,
    random: () => 0,
    ...options,
  });
  t.teardown(() => proxy.close());
  return proxy;
}

/** A client of the proxy, as the redirection would bring it. Half-open as both ends of the proxy are. */
export async function connectTo(proxy: LocalhostProxy, family: IpFamily = 'IPv4'): Promise<Socket> {
  const tcpPort = proxy.port(family, 'TCP');
  if (tcpPort === undefined) throw new Error(`no port for ${family}`);
  const socket = connect({ host: LOOPBACK[family], port: tcpPort, allowHalfOpen: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** A promise that is settled from outside. */
export class Answer<Value> {
  readonly promise: Promise<Value>;
  resolve: (value: Value) => void = () => {};

  constructor() {
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }
}

/** All that comes until the end; rejects with the error code when it is torn. */
export function readAll(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => resolve(Buffer.concat(chunks)));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without an end')));
  });
}
