/**
 * Which endpoints may serve a service port, the same in every mode.
 * Follows kube-proxy's CategorizeEndpoints: readiness, the fall-back to terminating endpoints (KEP-1669),
 * internal and external traffic policy, node and zone hints (KEP-2433, KEP-4444).
 */
import type { NodeFacts } from '../NodeFacts.js';
import type { Endpoint, EndpointSets } from '../ServicePort.js';

export interface EndpointUse {
  /** Some traffic of the service port may go to endpoints anywhere. */
  readonly cluster: boolean;
  /** Some traffic of the service port must stay on this node. */
  readonly local: boolean;
}

const NONE: readonly Endpoint[] = [];

/** `all` must be sorted by target; the result's lists then are too. */
export function selectEndpoints(all: readonly Endpoint[], use: EndpointUse, node: NodeFacts): EndpointSets {
  if (all.length === 0) return { all, cluster: NONE, local: NONE, reachable: NONE, any: false };

  let cluster = NONE;
  let filtered = false;
  let any = false;
  if (use.cluster) {
    const hinted = hintFilter(all, node);
    filtered = hinted !== undefined;
    cluster = keep(all, (e) => e.ready && (!hinted || hinted(e)));
    if (cluster.length === 0) cluster = keep(all, isLastResort);
    any = cluster.length > 0;
  }
  if (!use.local) return { all, cluster, local: NONE, reachable: cluster, any };

  any ||= all.some((e) => e.ready || isLastResort(e));
  let local = keep(all, (e) => e.local && e.ready);
  let terminatingLocal = false;
  if (local.length === 0) {
    local = keep(all, (e) => e.local && isLastResort(e));
    terminatingLocal = local.length > 0;
  }
  if (!use.cluster) return { all, cluster: NONE, local, reachable: local, any };

  const reachable = filtered || terminatingLocal ? union(all, cluster, local) : cluster;
  return { all, cluster, local, reachable, any };
}

/** Like filter, but the very same array when nothing is left out: most services need no second list. */
function keep(all: readonly Endpoint[], test: (e: Endpoint) => boolean): readonly Endpoint[] {
  return all.every(test) ? all : all.filter(test);
}

/** Used only while nobody is ready: shutting down, but still answering. */
function isLastResort(endpoint: Endpoint): boolean {
  return endpoint.serving && endpoint.terminating;
}

function union(
  all: readonly Endpoint[],
  a: readonly Endpoint[],
  b: readonly Endpoint[],
): readonly Endpoint[] {
  const wanted = new Set([...a, ...b]);
  return all.filter((e) => wanted.has(e));
}

/**
 * The topology filter, or undefined when hints do not apply. Hints are all or nothing: they count only if every
 * ready endpoint carries them and at least one of them is for this node or zone.
 */
function hintFilter(all: readonly Endpoint[], node: NodeFacts): ((e: Endpoint) => boolean) | undefined {
  let ready = 0;
  let nodeHinted = 0;
  let zoneHinted = 0;
  let forThisNode = 0;
  let forThisZone = 0;
  for (const endpoint of all) {
    if (!endpoint.ready) continue;
    ready++;
    if (endpoint.nodeHints.length > 0) {
      nodeHinted++;
      if (isForNode(endpoint, node)) forThisNode++;
    }
    if (endpoint.zoneHints.length > 0) {
      zoneHinted++;
      if (isForZone(endpoint, node)) forThisZone++;
    }
  }
  if (ready === 0) return undefined;
  if (nodeHinted === ready && forThisNode > 0) return (e) => isForNode(e, node);
  if (zoneHinted === ready && forThisZone > 0) return (e) => isForZone(e, node);
  return undefined;
}

function isForNode(endpoint: Endpoint, node: NodeFacts): boolean {
  return node.name !== '' && endpoint.nodeHints.includes(node.name);
}

function isForZone(endpoint: Endpoint, node: NodeFacts): boolean {
  return node.zone !== '' && endpoint.zoneHints.includes(node.zone);
}
