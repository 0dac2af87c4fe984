/**
 * The health-check node ports of Services with externalTrafficPolicy Local: external load balancers ask them whether
 * this node has endpoints. One HTTP server for each Service and address.
 */
import type { RequestListener, Server } from 'node:http';
import { messageOf } from '../../errors.js';
import type { IpAddress } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { HealthCheck } from '../../routing/HealthChecks.js';
import { type ConnectionBudget, ownBudget } from './ConnectionBudget.js';
import { openHttpServer } from './openHttpServer.js';

interface Listener {
  readonly port: number;
  readonly addresses: readonly IpAddress[];
  readonly servers: readonly Server[];
}

export class HealthCheckPorts {
  readonly #proxyHealthy: () => boolean;
  readonly #budget: ConnectionBudget;
  readonly #listeners = new Map<string, Listener>();
  #checks: ReadonlyMap<string, HealthCheck> = new Map();
  /** One after the other: a port that one update opens may be what the next one closes. Never rejects. */
  #updating: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** `budget`: for all these ports together. */
  constructor(proxyHealthy: () => boolean, budget: ConnectionBudget = ownBudget()) {
    this.#proxyHealthy = proxyHealthy;
    this.#budget = budget;
  }

  /**
   * Opens and closes ports to match. `addresses` to listen on; 0.0.0.0 or :: for all of one family.
   * The problems are those of ports that could not be opened; call again to retry.
   */
  update(checks: ReadonlyMap<string, HealthCheck>, addresses: readonly IpAddress[]): Promise<Problem[]> {
    const updated = this.#updating.then(() => this.#update(checks, addresses));
    this.#updating = updated;
    return updated;
  }

  close(): void {
    this.#closed = true;
    for (const [service, listener] of this.#listeners) this.#close(service, listener);
  }

  async #update(
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
      if (this.#closed) return [];
      if (this.#listeners.has(service)) continue;
      const opened = await this.#open(service, port, addresses);
      if (opened) problems.push(opened);
    }
    return problems;
  }

  async #open(service: string, port: number, addresses: readonly IpAddress[]): Promise<Problem | undefined> {
    const servers: Server[] = [];
    try {
      for (const host of addresses) {
        servers.push(
          await openHttpServer({ host, port, unspecified: 'family' }, this.#budget, this.#answer(service)),
        );
      }
      if (this.#closed) closeAll(servers);
      else this.#listeners.set(service, { port, addresses, servers });
      return undefined;
    } catch (error) {
      closeAll(servers);
      const message = `health-check node port ${port} cannot be opened: ${messageOf(error)}; tried again at the next sync`;
      return { subject: `Service ${service}`, message };
    }
  }

  #close(service: string, listener: Listener): void {
    this.#listeners.delete(service);
    closeAll(listener.servers);
  }

  #answer(service: string): RequestListener {
    return (_request, response) => {
      const count = this.#checks.get(service)?.localEndpoints ?? 0;
      const healthy = this.#proxyHealthy();
      const [namespace, name] = service.split('/');
      const content = { service: { namespace, name }, localEndpoints: count, serviceProxyHealthy: healthy };
      const body = JSON.stringify(content, undefined, '\t');
      response
        .writeHead(count > 0 && healthy ? 200 : 503, {
          'Content-Type': 'application/json',
          'X-Content-Type-Options': 'nosniff',
          'X-Load-Balancing-Endpoint-Weight': String(count),
          'Content-Length': Buffer.byteLength(body),
        })
        .end(body);
    };
  }
}

function closeAll(servers: readonly Server[]): void {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
}
