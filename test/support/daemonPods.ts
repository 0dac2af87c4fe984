/** Pods of DaemonSets on the nodes that they select, as the controller would make them. */
export interface ClusterObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly generateName?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

interface PodSpec {
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly containers: readonly { readonly name: string }[];
  readonly affinity?: {
    readonly nodeAffinity: {
      readonly requiredDuringSchedulingIgnoredDuringExecution: {
        readonly nodeSelectorTerms: readonly { readonly matchExpressions: readonly Requirement[] }[];
      };
    };
  };
}

interface DaemonSet extends ClusterObject {
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
  };
}

export function isDaemonSet(object: ClusterObject): object is DaemonSet {
  return object.kind === 'DaemonSet';
}

export function daemonPods(objects: Iterable<ClusterObject>): readonly ClusterObject[] {
  const all = [...objects];
  return all.filter(isDaemonSet).flatMap((set) =>
    nodesFor(set, all).map((nodeName) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `${set.metadata.name}-${nodeName}`,
        namespace: set.metadata.namespace ?? 'default',
        labels: set.spec.template.metadata.labels,
        uid: `${set.metadata.name}-${nodeName}`,
        resourceVersion: '1',
      },
      spec: { ...set.spec.template.spec, nodeName },
      status: {
        phase: 'Running',
        containerStatuses: set.spec.template.spec.containers.map(({ name }) => ({
          name,
          ready: true,
          state: { running: {} },
        })),
      },
    })),
  );
}

/** Rolled out, as far as there are nodes for it. */
export function withRollout(set: DaemonSet, all: readonly ClusterObject[]): ClusterObject {
  const count = nodesFor(set, all).length;
  return {
    ...set,
    status: {
      observedGeneration: set.metadata.generation,
      desiredNumberScheduled: count,
      currentNumberScheduled: count,
      updatedNumberScheduled: count,
      numberAvailable: count,
      numberReady: count,
    },
  };
}

function nodesFor({ spec }: DaemonSet, all: readonly ClusterObject[]): readonly string[] {
  const { nodeSelector = {}, affinity } = spec.template.spec;
  const terms =
    affinity?.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms ?? undefined;
  return all
    .filter(({ kind, metadata }) => {
      if (kind !== 'Node') return false;
      const labels = metadata.labels ?? {};
      const isNamed = Object.entries(nodeSelector).every(([key, value]) => labels[key] === value);
      return (
        isNamed &&
        (terms === undefined ||
          terms.some(({ matchExpressions }) => matchExpressions.every((each) => holds(each, labels))))
      );
    })
    .map(({ metadata }) => metadata.name);
}

function holds(
  { key, operator, values = [] }: Requirement,
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = labels[key];
  if (operator === 'Exists') return value !== undefined;
  if (operator === 'DoesNotExist') return value === undefined;
  const isIn = value !== undefined && values.includes(value);
  return operator === 'In' ? isIn : !isIn;
}
