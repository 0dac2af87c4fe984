/** Objects of a cluster, put into an API server where their kind is. */
import type { FakeApiServer, RawApiObject } from './FakeApiServer.js';

export const PATHS = {
  Node: '/api/v1/nodes',
  Service: '/api/v1/services',
  EndpointSlice: '/apis/discovery.k8s.io/v1/endpointslices',
} as const;

/** Each a Node, a Service or an EndpointSlice. */
export function putObjects(fake: FakeApiServer, objects: readonly object[]): void {
  for (const object of objects) {
    const { kind } = object as { readonly kind: keyof typeof PATHS };
    fake.put(PATHS[kind], object as RawApiObject);
  }
}

export function putNode(fake: FakeApiServer, name: string): void {
  putObjects(fake, [{ kind: 'Node', apiVersion: 'v1', metadata: { name } }]);
}
