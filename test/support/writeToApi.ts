/** What an API server makes of POST and PATCH: merge patches (RFC 7396) of objects and of their status, with a check of the version. */
import { type FakeApiServer, type RawApiObject, storedAt } from './FakeApiServer.js';

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Answers the status. Events are taken and not kept. */
export function writeToApi(fake: FakeApiServer, method: string, path: string, body: unknown): number {
  if (!isObject(body)) return 400;
  if (path.endsWith('/events')) return 201;
  if (method === 'POST') {
    const object = body as unknown as RawApiObject;
    const { collection } = storedAt(`${path}/${object.metadata.name}`);
    if (find(fake, `${path}/${object.metadata.name}`)) return 409;
    fake.put(collection, object);
    return 201;
  }
  const ofStatus = path.endsWith('/status');
  const name = ofStatus ? path.slice(0, -'/status'.length) : path;
  const before = find(fake, name);
  if (before === undefined) return 404;
  const { resourceVersion } = isObject(body.metadata) ? body.metadata : {};
  if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion) return 409;
  const patch = ofStatus ? { status: body.status } : body;
  fake.put(storedAt(name).collection, merged(before, patch) as unknown as RawApiObject);
  return 200;
}

function find(fake: FakeApiServer, path: string): RawApiObject | undefined {
  const { collection, namespace, name } = storedAt(path);
  return fake
    .objects(collection)
    .find(({ metadata }) => metadata.name === name && (metadata.namespace ?? '') === namespace);
}

function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}
