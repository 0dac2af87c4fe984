/**
 * Plain data → KubeProxyConfiguration, with every fault of shape in the words of the person who wrote it.
 */
import * as z from 'zod/mini';
import { nearestName } from '../../net/nearestName.js';
import { type ConfigFault, type FieldPath, formatPath, quote, valueAt } from './ConfigFault.js';
import {
  API_VERSION,
  configurationSchema,
  DEFAULT_CONFIGURATION,
  KIND,
  type KubeProxyConfiguration,
  withServerAddresses,
} from './KubeProxyConfiguration.js';

export interface DecodedConfiguration {
  /** Fields at fault have their default here, so that the rest can still be checked. */
  readonly config: KubeProxyConfiguration;
  readonly faults: readonly ConfigFault[];
  /** Fields that do not exist: kube-proxy takes such a file too, and the rest of it counts. */
  readonly ignored: readonly ConfigFault[];
}

/** Fields that kube-proxy once had, and guides and installers still write. */
const FORMER: Readonly<Record<string, string>> = {
  resourceContainer: 'kube-proxy has not had it since 1.16: the kubelet places the process',
  'conntrack.max': 'kube-proxy has not had it since 1.12: set conntrack.maxPerCore and conntrack.min',
  'conntrack.tcpTimeout': 'no kube-proxy ever had it: set conntrack.tcpEstablishedTimeout',
  conntrackMax: 'kube-proxy has not had it since 1.8: set conntrack.maxPerCore and conntrack.min',
  conntrackMaxPerCore: 'it is conntrack.maxPerCore now',
  conntrackMin: 'it is conntrack.min now',
  conntrackTCPEstablishedTimeout: 'it is conntrack.tcpEstablishedTimeout now',
  conntrackTCPCloseWaitTimeout: 'it is conntrack.tcpCloseWaitTimeout now',
  healthzPort: 'it is part of healthzBindAddress now',
  'clientConnection.kubeConfigFile': 'it is clientConnection.kubeconfig now',
};

/** Its fields are ours: kube-proxy takes none of them, and a slip of the pen is a fault. */
const OWN_BLOCK = 'penstock';

export function decodeConfiguration(value: unknown): DecodedConfiguration {
  const result = z.safeDecode(configurationSchema, value as z.input<typeof configurationSchema>);
  if (result.success) return { config: withServerAddresses(result.data), faults: [], ignored: [] };
  const found = result.error.issues.flatMap((issue) => faultsOf(issue, value));
  const isIgnored = ({ isUnknown, path }: Found) => isUnknown && path[0] !== OWN_BLOCK;
  const ignored = found.filter(isIgnored).map(({ path, message }) => ({ path, message }));
  const faults = found.filter((fault) => !isIgnored(fault)).map(({ path, message }) => ({ path, message }));
  const rest = z.safeDecode(configurationSchema, {
    ...(withoutPaths(
      value,
      found.map((fault) => fault.path),
    ) as object),
    apiVersion: API_VERSION,
    kind: KIND,
  });
  return { config: withServerAddresses(rest.data ?? DEFAULT_CONFIGURATION), faults, ignored };
}

interface Found extends ConfigFault {
  readonly isUnknown: boolean;
}

/** Of more unknown fields the texts are not worth their making. */
const MOST_NAMED = 20;

function faultsOf(issue: z.core.$ZodIssue, value: unknown): Found[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key, i) => ({
      path: [...path, key],
      message: i < MOST_NAMED ? unknownField(path, key) : 'is not a known field',
      isUnknown: true,
    }));
  }
  const given = valueAt(value, path);
  const message =
    given === undefined ? `is missing: it ${issue.message}` : `${issue.message}, not ${quote(given)}`;
  return [{ path, message, isUnknown: false }];
}

function unknownField(parent: FieldPath, name: string): string {
  // By its own names only: the name may be `constructor`.
  const path = formatPath([...parent, name]);
  const former = Object.hasOwn(FORMER, path) ? FORMER[path] : undefined;
  if (former !== undefined) return `is not a field any more: ${former}`;
  const siblings = Object.keys((valueAt(DEFAULT_CONFIGURATION, parent) ?? {}) as object);
  const near = nearestName(name, siblings);
  const meant = near === undefined ? placesOf(name) : [formatPath([...parent, near])];
  if (meant.length > 0) return `is not a known field; did you mean ${meant.join(' or ')}?`;
  return siblings.length > 0
    ? `is not a known field; the fields here are ${siblings.join(', ')}`
    : 'is not a known field';
}

/** Where else a field of this name exists: it may have been written into the wrong block. */
function placesOf(name: string, block: unknown = DEFAULT_CONFIGURATION, parent: FieldPath = []): string[] {
  if (typeof block !== 'object' || block === null || Array.isArray(block)) return [];
  return Object.entries(block).flatMap(([key, inner]) => {
    const path = [...parent, key];
    return [...(key === name ? [formatPath(path)] : []), ...placesOf(name, inner, path)];
  });
}

/** A copy in which the given fields and list items are absent. */
function withoutPaths(value: unknown, paths: readonly FieldPath[]): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  const copy = structuredClone(value);
  for (const path of paths) {
    const owner = valueAt(copy, path.slice(0, -1)) as Record<string | number, unknown> | undefined;
    const last = path.at(-1);
    if (owner && last !== undefined) owner[last] = undefined;
    if (owner && typeof last === 'string') delete owner[last];
  }
  return copy;
}
