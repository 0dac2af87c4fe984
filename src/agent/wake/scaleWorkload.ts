/** Gives a Deployment or StatefulSet without replicas its first one, where the configuration allows that. It takes none away. */
import { messageOf } from '../../errors.js';
import { readObject } from '../../kubernetes/http/readObject.js';
import type { ApiServer } from '../../kubernetes/openApiServer.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import type { WakeTarget } from '../../routing/waking.js';
import type { Clock } from '../../time/Clock.js';

/** Resolves to undefined when the workload has replicas, or will have; else to why not. Never rejects. */
export type ScaleWorkload = (namespace: string, target: WakeTarget) => Promise<string | undefined>;

/** Of group apps. */
const RESOURCES: Readonly<Partial<Record<WakeTarget['kind'], string>>> = {
  deployment: 'deployments',
  statefulset: 'statefulsets',
};
const REMEDY = 'See docs/first-packet.md: the ClusterRole of deploy/wake lets agents do it.';

export function scaleWorkload(api: Pick<ApiServer, 'get' | 'send'>, clock: Clock): ScaleWorkload {
  return async (namespace, { kind, name }) => {
    const resource = RESOURCES[kind];
    if (resource === undefined) return `${kind}/${name} has no replicas`;
    const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/${resource}/${encodeURIComponent(name)}/scale`;
    try {
      const scale = await readObject(api, path, `the scale of ${kind}/${name}`, REMEDY, clock);
      if (scale === undefined) return 'it is not there';
      const found = readScale(scale);
      if (found === undefined) return 'the API server answers with no Scale';
      // Whoever owns the replicas has set them: its pods are on their way, or cannot start.
      if (found.replicas > 0) return undefined;
      const status = await api.send('PATCH', path, {
        metadata: { resourceVersion: found.version },
        spec: { replicas: 1 },
      });
      // 409: another node, or the owner, was faster.
      if ((status >= 200 && status < 300) || status === 409) return undefined;
      return `the API server answers ${status}`;
    } catch (error) {
      return messageOf(error);
    }
  };
}

/** autoscaling/v1 Scale; replicas that are absent are 0. Undefined: it is none, and nothing is written on its word. */
function readScale(scale: unknown): { readonly replicas: number; readonly version: string } | undefined {
  const { metadata, spec } = isRawObject(scale) ? scale : {};
  const version = isRawObject(metadata) ? metadata.resourceVersion : undefined;
  const replicas = isRawObject(spec) ? (spec.replicas ?? 0) : undefined;
  return typeof replicas === 'number' && typeof version === 'string' ? { replicas, version } : undefined;
}
