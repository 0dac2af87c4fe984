/** The objects that penstock understands, and the changes that sources deliver. */
import type { EndpointSlice } from './EndpointSlice.js';
import { flat, intern } from './intern.js';
import type { Node } from './Node.js';
import type { Service } from './Service.js';
import type { ServiceCIDR } from './ServiceCIDR.js';

export type ApiObject = Service | EndpointSlice | Node | ServiceCIDR;

export type ObjectKind = ApiObject['kind'];

/** Identity of an object. Nodes and ServiceCIDRs have namespace ''. */
export interface ObjectRef {
  readonly kind: ObjectKind;
  readonly namespace: string;
  readonly name: string;
}

export type ObjectChange =
  | { readonly type: 'upsert'; readonly object: ApiObject }
  | { readonly type: 'delete'; readonly ref: ObjectRef };

/** Whether objects of the kind belong to no namespace. */
export function isClusterScoped(kind: ObjectKind): boolean {
  return kind === 'Node' || kind === 'ServiceCIDR';
}

/** `Service shop/cart`, `Node node1`: how objects are named in logs and messages; also a unique key. */
export function objectName(ref: { kind: string; namespace?: string; name: string }): string {
  return flat(`${ref.kind} ${objectPath(ref)}`);
}

/** `shop/cart`, `node1`: unique among the objects of a kind. One copy, as many tables are kept by it. */
export function objectPath({ namespace, name }: { namespace?: string; name: string }): string {
  return namespace ? intern(`${namespace}/${name}`) : name;
}

/** objectPath() of the Service that an EndpointSlice belongs to. */
export function ownerPath({
  namespace,
  serviceName,
}: Pick<EndpointSlice, 'namespace' | 'serviceName'>): string {
  return objectPath({ namespace, name: serviceName });
}

export function refOf(object: ApiObject): ObjectRef {
  return { kind: object.kind, namespace: 'namespace' in object ? object.namespace : '', name: object.name };
}
