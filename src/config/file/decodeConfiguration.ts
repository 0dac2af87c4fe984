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
}

export function decodeConfiguration(value: unknown): DecodedConfiguration {
  const result = z.safeDecode(configurationSchema, value as z.input<typeof configurationSchema>);
  if (result.success) return { config: withServerAddresses(result.data), faults: [] };
  const faults = result.error.issues.flatMap((issue) => faultsOf(issue, value));
  const rest = z.safeDecode(configurationSchema, {
    ...(withoutPaths(
      value,
      faults.map((fault) => fault.path),
    ) as object),
    apiVersion: API_VERSION,
    kind: KIND,
  });
  return { config: withServerAddresses(rest.data ?? DEFAULT_CONFIGURATION), faults };
}

function faultsOf(issue: z.core.$ZodIssue, value: unknown): ConfigFault[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownField(path, key) }));
  }
  const given = valueAt(value, path);
  const message =
    given === undefined ? `is missing: it ${issue.message}` : `${issue.message}, not ${quote(given)}`;
  return [{ path, message }];
}

function unknownField(parent: FieldPath, name: string): string {
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
