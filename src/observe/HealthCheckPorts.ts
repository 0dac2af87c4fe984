/**
 * The health-check node ports of Services with externalTrafficPolicy Local: external load balancers ask them whether
 * this node has endpoints. One HTTP server for each Service and address.
 */
import { createServer, type Server } from 'node:http';
import { messageOf } from '../errors.js';
import { type IpAddress, joinHostPort } from '../net/ip.js';
import type { Problem } from '../objects/Problem.js';
import type { HealthCheck } from '../routing/HealthChecks.js';

interface Listener {
  readonly port: number;
  readonly addresses: readonly IpAddress[];
  readonly servers: readonly Server[];
}

export class HealthCheckPorts {
  readonly #proxyHealthy: () => boolean;
  readonly #listeners = new Map<string, Listener>();
  #checks: ReadonlyMap<string, HealthCheck> = new Map();

  constructor(proxyHealthy: () => boolean) {
    this.#proxyHealthy = proxyHealthy;
  }

  /**
   * Opens and closes ports to match. `addresses` to listen on; 0.0.0.0 or :: for all of one family.
   * The problems are those of ports that could not be opened; call again to retry.
   */
  async update(
    checks: ReadonlyMap<string, HealthCheck>,
    addresses: readonly IpAddress[],
  ): Promise<Problem[]> {
    this.#checks = checks;
    for (const [service, listener] of this.#listeners) {
      const same =
        checks.get(service)?.port === listener.port && listener.addresses.join() === addresses.join();
      if (!same) this.#close(service, listener);
    }
    const problems: Problem[] = [];
    for (const [service, { port }] of checks) {
      if (this.#listeners.has(service)) continue;
      const opened = await this.#open(service, port, addresses);
      if (opened) problems.push(opened);
    }
    return problems;
  }

  close(): void {
    for (const [service, listener] of this.#listeners) this.#close(service, listener);
  }

  async #open(service: string, port: number, addresses: readonly IpAddress[]): Promise<Problem | undefined> {
    const servers: Server[] = [];
    try {
      for (const address of addresses) servers.push(await this.#listen(service, address, port));
      this.#listeners.set(service, { port, addresses, servers });
      return undefined;
    } catch (error) {
      for (const server of servers) server.close();
      const message = `health-check node port ${port} cannot be opened: ${messageOf(error)}; tried again at the next sync`;
      return { subject: `Service ${service}`, message };
    }
  }

  #close(service: string, listener: Listener): void {
    this.#listeners.delete(service);
    for (const server of listener.servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  async #listen(service: string, address: IpAddress, port: number): Promise<Server> {
    const server = createServer((_request, response) => {
      const check = this.#checks.get(service);
      const count = check?.localEndpoints ?? 0;
      const healthy = this.#proxyHealthy();
      const [namespace, name] = service.split('/');
      const content = { service: { namespace, name }, localEndpoints: count, serviceProxyHealthy: healthy };
      response
        .writeHead(count > 0 && healthy ? 200 : 503, {
          'Content-Type': 'application/json',
          'X-Content-Type-Options': 'nosniff',
          'X-Load-Balancing-Endpoint-Weight': String(count),
        })
        .end(JSON.stringify(content, undefined, '\t'));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(new Error(`${joinHostPort(address, port)}: ${messageOf(error)}`)),
      );
      server.listen({ host: address, port, ipv6Only: address.includes(':') }, resolve);
    });
    return server;
  }
}
