/**
 * As much of an API server as kubectl and helm talk to when somebody follows the docs: objects of any kind that are created, changed in
 * every way that kubectl has, deleted and watched; DaemonSets that put a pod on every node that they select, at once. No shell and no
 * attached terminal: those are refused (403) once they were asked for.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parse } from 'yaml';
import { apiPaths, discovery, fieldValidation, groupPath, KINDS } from './clusterKinds.js';
import { type ClusterObject, daemonPods, isDaemonSet, withRollout } from './daemonPods.js';
import { jsonPatched, merged } from './jsonPatch.js';
import { protobufObject } from './protobufObject.js';
import { isSelected } from './selectors.js';

const ALL_SENT = { 'k8s.io/initial-events-end': 'true' };

export interface ClusterRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

export class ClusterServer {
  /** By path, `/apis/apps/v1/namespaces/kube-system/daemonsets/penstock`. */
  readonly objects = new Map<string, ClusterObject>();
  readonly requests: ClusterRequest[] = [];
  /** What a pod has said, by name of the pod. */
  log: (pod: string) => string = () => '';
  #version = 100;
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch((error: Error) => {
      answer(response, 500, status(500, error.message));
    });
  });

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Where an object of this kind and name is. */
  pathOf({ apiVersion, kind, metadata }: ClusterObject): string {
    const known = KINDS.find((each) => each.apiVersion === apiVersion && each.kind === kind);
    if (!known) throw new Error(`no kind ${apiVersion} ${kind}`);
    return `${apiPaths(known, metadata.namespace)}/${metadata.name}`;
  }

  put(object: ClusterObject): ClusterObject {
    return this.#store(this.pathOf(object), object);
  }

  /** `NODE` of every pod of this DaemonSet. */
  nodesOf(daemonSet: string): readonly string[] {
    return daemonPods(this.objects.values())
      .filter(({ metadata, spec }) => metadata.name === `${daemonSet}-${spec?.nodeName}`)
      .map(({ spec }) => String(spec?.nodeName))
      .sort();
  }

  #store(path: string, object: ClusterObject): ClusterObject {
    const before = this.objects.get(path)?.metadata;
    const metadata = {
      ...object.metadata,
      uid: before?.uid ?? `00000000-0000-0000-0000-${String(++this.#version).padStart(12, '0')}`,
      creationTimestamp: before?.creationTimestamp ?? '2026-11-30T00:00:00Z',
      generation: Number(before?.generation ?? 0) + 1,
      resourceVersion: String(++this.#version),
    };
    const stored = { ...withDefaults(object), metadata };
    this.objects.set(path, stored);
    return stored;
  }

  /** Objects as they are now: DaemonSets with their status, and their pods. */
  *#all(): Generator<readonly [string, ClusterObject]> {
    const all = [...this.objects.values()];
    for (const [path, object] of this.objects)
      yield [path, isDaemonSet(object) ? withRollout(object, all) : object];
    for (const pod of daemonPods(all)) yield [this.pathOf(pod), pod];
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://any');
    const path = decodeURIComponent(url.pathname);
    const method = request.method ?? 'GET';
    this.requests.push({ method, path, query: url.searchParams });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const body = bytes.toString();
    const sent = () => protobufObject(bytes) ?? (JSON.parse(body) as ClusterObject);
    const known = method === 'GET' ? (discovery(path) ?? fieldValidation(path)) : undefined;
    if (known) return answer(response, 200, known);
    const [, pod] = /\/pods\/([^/]+)\/log$/.exec(path) ?? [];
    if (pod !== undefined) {
      response.writeHead(200, { 'content-type': 'text/plain' }).end(this.log(pod));
      return;
    }
    if (/\/pods\/[^/]+\/(exec|attach|portforward)$/.test(path))
      return answer(response, 403, status(403, 'no shell here'));
    const list = KINDS.find((kind) =>
      new RegExp(`^${groupPath(kind)}(/namespaces/[^/]+)?/${kind.name}$`).test(path),
    );
    if (list && method === 'GET') return this.#list(path, list, url.searchParams, response);
    if (list && method === 'POST') return this.#create(path, sent(), response);
    const present = new Map(this.#all()).get(path);
    const type = request.headers['content-type'] ?? '';
    if (method === 'PATCH' && type.startsWith('application/apply-patch')) {
      const applied = parse(body) as ClusterObject;
      const stored = this.#store(path, present ? (merged(present, applied) as ClusterObject) : applied);
      return answer(response, present ? 200 : 201, stored);
    }
    if (!present) return answer(response, 404, status(404, `${path} not found`));
    if (method === 'GET') return answer(response, 200, present);
    if (method === 'DELETE') {
      this.objects.delete(path);
      return answer(response, 200, { ...status(200, ''), status: 'Success' });
    }
    const isJsonPatch = type.startsWith('application/json-patch');
    const patched = () =>
      isJsonPatch ? jsonPatched(present, JSON.parse(body)) : merged(present, JSON.parse(body));
    const changed = method === 'PUT' ? sent() : patched();
    answer(response, 200, this.#store(path, changed as ClusterObject));
  }

  #list(
    path: string,
    { kind, apiVersion, name }: (typeof KINDS)[number],
    query: URLSearchParams,
    response: ServerResponse,
  ): void {
    const everywhere = path.replace(`/${name}`, '/');
    const selected = [...this.#all()].filter(
      ([at, object]) =>
        at.startsWith(everywhere) && at.split('/').at(-2) === name && isSelected(object, query),
    );
    const items = selected.map(([, object]) => object);
    if (query.get('watch') === 'true' || query.get('watch') === '1') {
      response.writeHead(200, { 'content-type': 'application/json' });
      // Nothing changes by itself: what there is, and that this was all. Open until the client has seen enough.
      const ended = {
        kind,
        apiVersion,
        metadata: { resourceVersion: `${this.#version}`, annotations: ALL_SENT },
      };
      const events = items.map((object) => ({ type: 'ADDED', object }));
      if (query.has('sendInitialEvents')) events.push({ type: 'BOOKMARK', object: ended as never });
      response.write(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
      return;
    }
    answer(response, 200, {
      kind: `${kind}List`,
      apiVersion,
      metadata: { resourceVersion: `${this.#version}` },
      items,
    });
  }

  #create(path: string, object: ClusterObject, response: ServerResponse): void {
    const name = object.metadata.name || `${object.metadata.generateName}x`;
    const at = `${path}/${name}`;
    if (this.objects.has(at)) {
      answer(response, 409, { ...status(409, `${at} exists`), reason: 'AlreadyExists' });
      return;
    }
    const [, namespace] = /\/namespaces\/([^/]+)\//.exec(path) ?? [];
    const metadata = { ...object.metadata, name, ...(namespace === undefined ? {} : { namespace }) };
    // A pod that somebody creates runs at once.
    const running = object.kind === 'Pod' ? { status: runningStatus(object) } : {};
    answer(response, 201, this.#store(at, { ...object, ...running, metadata }));
  }
}

/** What an API server fills in, as far as kubectl looks at it. */
function withDefaults(object: ClusterObject): ClusterObject {
  if (object.kind !== 'DaemonSet') return object;
  return { ...object, spec: { updateStrategy: { type: 'RollingUpdate' }, ...object.spec } };
}

function runningStatus({ spec }: ClusterObject): object {
  const containers = (spec?.containers ?? []) as readonly { readonly name: string }[];
  return {
    phase: 'Running',
    containerStatuses: containers.map(({ name }) => ({
      name,
      ready: true,
      state: { running: { startedAt: null } },
    })),
  };
}

function status(code: number, message: string): object {
  const reason = { 403: 'Forbidden', 404: 'NotFound' }[code] ?? '';
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

function answer(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
