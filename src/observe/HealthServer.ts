/**
 * GET /readyz, /healthz and /livez of the agent, with kube-proxy's bodies (its proxy health server).
 *
 *   /readyz   200 once the first sync has put the whole table in place, and from then on: without the API server the rules stay
 *   /livez    503 when a change has been waiting longer than the timeout
 *   /healthz  as /livez, and 503 while the node is about to go: load balancers take it out
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { IpFamily } from '../net/ip.js';
import type { ResourceContact } from './contactMetrics.js';

export interface HealthState {
  /** Milliseconds since the epoch of the last successful sync of each family. */
  readonly updated: ReadonlyMap<IpFamily, number>;
  /** Milliseconds since the epoch of the oldest change that no sync has taken yet. */
  readonly pendingSince: number | undefined;
  readonly ready: boolean;
  /** Why not, when not ready. */
  readonly reason: string;
  readonly nodeEligible: boolean;
  /** Empty without an API server. */
  readonly contacts: readonly ResourceContact[];
}

export interface HealthServerOptions {
  readonly host: string;
  readonly port: number;
  /** Milliseconds that a change may wait. */
  readonly timeoutMs: number;
  readonly state: () => HealthState;
  /** Hears what was answered to kube-proxy's own paths. */
  readonly onAnswer?: (path: '/healthz' | '/livez', code: number) => void;
}

/** Rejects when the address cannot be bound. */
export async function startHealthServer(options: HealthServerOptions): Promise<Server> {
  const server = createServer((request, response) => answer(request, response, options));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return server;
}

/** Whether the agent keeps up. */
export function isHealthy(state: HealthState, timeoutMs: number, now = Date.now()): boolean {
  return state.pendingSince === undefined || now - state.pendingSince < timeoutMs;
}

function answer(request: IncomingMessage, response: ServerResponse, options: HealthServerOptions): void {
  const state = options.state();
  const healthy = isHealthy(state, options.timeoutMs);
  switch ((request.url ?? '').split('?')[0]) {
    case '/readyz':
      send(response, state.ready, {
        ready: state.ready,
        ...(state.ready ? {} : { reason: state.reason }),
        ...apiServer(state.contacts),
      });
      break;
    case '/livez':
      send(response, healthy, body(state, healthy));
      options.onAnswer?.('/livez', response.statusCode);
      break;
    case '/healthz':
      send(response, healthy && state.nodeEligible, body(state, healthy, state.nodeEligible));
      options.onAnswer?.('/healthz', response.statusCode);
      break;
    default:
      response.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' }).end('404 page not found\n');
  }
}

function body(state: HealthState, healthy: boolean, nodeEligible?: boolean): object {
  const now = Date.now();
  const families = [...state.updated].sort(([a], [b]) => (a < b ? -1 : 1));
  const newest = Math.max(0, ...families.map(([, updated]) => updated));
  const status = families.map(([family, updated]) => [family, { lastUpdated: time(updated), healthy }]);
  return {
    lastUpdated: time(healthy ? now : newest),
    currentTime: time(now),
    ...(nodeEligible === undefined ? {} : { nodeEligible }),
    healthy,
    ...(status.length > 0 ? { status: Object.fromEntries(status) } : {}),
  };
}

/** Whether it answers, for each resource, and since when that is so. */
function apiServer(contacts: readonly ResourceContact[]): object {
  if (contacts.length === 0) return {};
  const now = Date.now();
  const resources = contacts.map(({ resource, complete, connected, forMs, silentForMs, reason }) => [
    resource,
    {
      complete,
      connected,
      since: time(now - forMs),
      ...(silentForMs === undefined ? {} : { lastContact: time(now - silentForMs) }),
      ...(reason === undefined ? {} : { reason }),
    },
  ]);
  const connected = contacts.every((contact) => contact.connected);
  return { apiServer: { connected, resources: Object.fromEntries(resources) } };
}

/** RFC 3339 */
function time(ms: number): string {
  return new Date(ms).toISOString();
}

function send(response: ServerResponse, ok: boolean, content: object): void {
  const headers = { 'Content-Type': 'application/json', 'X-Content-Type-Options': 'nosniff' };
  response.writeHead(ok ? 200 : 503, headers).end(JSON.stringify(content));
}
