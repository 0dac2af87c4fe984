/**
 * GET /readyz, /healthz and /livez of the agent, with kube-proxy's bodies (its proxy health server).
 *
 *   /readyz   200 once the first sync has put the whole table in place, and from then on: without the API server the rules stay
 *   /livez    503 when a change has been waiting longer than the timeout, in any family
 *   /healthz  as /livez, and 503 while the node is about to go: load balancers take it out
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';
import { rfc3339 } from '../../time/preciseTime.js';
import type { ResourceContact } from '../metrics/contactMetrics.js';
import { ownBudget } from './ConnectionBudget.js';
import { openHttpServer } from './openHttpServer.js';

export interface FamilyHealth {
  /** Milliseconds since the epoch of the last successful sync, or of the start before the first. */
  readonly updated: number;
  /** Milliseconds since the epoch of the oldest change that is not in force yet. */
  readonly pendingSince: number | undefined;
}

export interface HealthState {
  /** Of each family that is served. */
  readonly families: ReadonlyMap<IpFamily, FamilyHealth>;
  readonly ready: boolean;
  /** Why not, when not ready. */
  readonly reason: string;
  readonly nodeEligible: boolean;
  /** Empty without an API server. */
  readonly contacts: readonly ResourceContact[];
}

export interface HealthServerOptions {
  /** 0.0.0.0 and :: mean all addresses of both families. */
  readonly host: IpAddress;
  readonly port: number;
  /** Milliseconds that a change may wait. */
  readonly timeoutMs: number;
  readonly state: () => HealthState;
  readonly clock: Clock;
  /** Hears what was answered to kube-proxy's own paths. */
  readonly onAnswer?: (path: '/healthz' | '/livez', code: number) => void;
}

/** Rejects when the address cannot be bound. */
export function startHealthServer(options: HealthServerOptions): Promise<Server> {
  const { host, port } = options;
  return openHttpServer({ host, port, unspecified: 'both' }, ownBudget(), (request, response) =>
    answer(request, response, options),
  );
}

/** Whether the agent keeps up, in every family. */
export function isHealthy(state: HealthState, timeoutMs: number, now: number): boolean {
  return [...state.families.values()].every((family) => keepsUp(family, timeoutMs, now));
}

function keepsUp({ pendingSince }: FamilyHealth, timeoutMs: number, now: number): boolean {
  return pendingSince === undefined || now - pendingSince < timeoutMs;
}

function answer(request: IncomingMessage, response: ServerResponse, options: HealthServerOptions): void {
  const state = options.state();
  const { timeoutMs } = options;
  const now = options.clock.date();
  const healthy = isHealthy(state, timeoutMs, now);
  switch ((request.url ?? '').split('?')[0]) {
    case '/readyz':
      send(response, state.ready, {
        ready: state.ready,
        ...(state.ready ? {} : { reason: state.reason }),
        ...apiServer(state.contacts, now),
      });
      break;
    case '/livez':
      send(response, healthy, body(state, { healthy }, healthy, timeoutMs, now));
      options.onAnswer?.('/livez', response.statusCode);
      break;
    case '/healthz': {
      const { nodeEligible } = state;
      const ok = healthy && nodeEligible;
      send(response, ok, body(state, { nodeEligible, healthy }, ok, timeoutMs, now));
      options.onAnswer?.('/healthz', response.statusCode);
      break;
    }
    default:
      write(response, 404, 'text/plain; charset=utf-8', '404 page not found\n');
  }
}

/** Names and their order are kube-proxy's. Where all is well it says that things were right until now. */
function body(state: HealthState, facts: object, ok: boolean, timeoutMs: number, now: number): object {
  const families = IP_FAMILIES.flatMap((family) => {
    const health = state.families.get(family);
    return health === undefined ? [] : [[family, health] as const];
  });
  const newest = Math.max(0, ...families.map(([, { updated }]) => updated));
  const status = families.map(([family, health]) => [
    family,
    { lastUpdated: rfc3339(health.updated), healthy: keepsUp(health, timeoutMs, now) },
  ]);
  return {
    lastUpdated: rfc3339(ok ? now : newest),
    currentTime: rfc3339(now),
    ...facts,
    ...(status.length > 0 ? { status: Object.fromEntries(status) } : {}),
  };
}

/** Whether it answers, for each resource, and since when that is so. */
function apiServer(contacts: readonly ResourceContact[], now: number): object {
  if (contacts.length === 0) return {};
  const resources = contacts.map(({ resource, complete, connected, forMs, silentForMs, reason }) => [
    resource,
    {
      complete,
      connected,
      since: rfc3339(now - forMs),
      ...(silentForMs === undefined ? {} : { lastContact: rfc3339(now - silentForMs) }),
      ...(reason === undefined ? {} : { reason }),
    },
  ]);
  const connected = contacts.every((contact) => contact.connected);
  return { apiServer: { connected, resources: Object.fromEntries(resources) } };
}

function send(response: ServerResponse, ok: boolean, content: object): void {
  write(response, ok ? 200 : 503, 'application/json', JSON.stringify(content));
}

function write(response: ServerResponse, status: number, contentType: string, text: string): void {
  const headers = {
    'Content-Type': contentType,
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(text),
  };
  response.writeHead(status, headers).end(text);
}
