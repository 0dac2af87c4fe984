/** What of a configuration changed, and what it takes for the change to come into force. */
import { formatPath } from './ConfigFault.js';
import type { KubeProxyConfiguration, ProxyMode } from './KubeProxyConfiguration.js';

export interface ChangedFields {
  /** In force at once. */
  readonly live: readonly string[];
  /** In force when the agent has started anew inside its process, which moves no connection. */
  readonly anew: readonly string[];
  /** Need a new process. */
  readonly restart: readonly string[];
}

const LIVE = ['logging.verbosity', 'conntrack', 'oomScoreAdj'];
const RESTART = ['logging'];

/** Dotted names of the fields that differ; lists count as one field. */
export function changedFields(before: KubeProxyConfiguration, after: KubeProxyConfiguration): ChangedFields {
  const fields = [...differences(before, after, [])];
  const isOf = (blocks: readonly string[], field: string) =>
    blocks.some((block) => field === block || field.startsWith(`${block}.`));
  const live = fields.filter((field) => isOf(LIVE, field));
  const rest = fields.filter((field) => !isOf(LIVE, field));
  // Connections of mode userspace end in the process: stopping its agent would cut them.
  const keepsAgent = [before.mode, after.mode].includes('userspace' satisfies ProxyMode);
  const restart = rest.filter((field) => keepsAgent || isOf(RESTART, field));
  return { live, anew: rest.filter((field) => !restart.includes(field)), restart };
}

/** `before` with those fields of `after` that are in force at once. */
export function withLiveFields(
  before: KubeProxyConfiguration,
  after: KubeProxyConfiguration,
): KubeProxyConfiguration {
  const { conntrack, oomScoreAdj, logging } = after;
  return { ...before, conntrack, oomScoreAdj, logging: { ...before.logging, verbosity: logging.verbosity } };
}

function* differences(before: unknown, after: unknown, path: readonly string[]): Generator<string> {
  if (!isBlock(before) || !isBlock(after)) {
    if (JSON.stringify(before) !== JSON.stringify(after)) yield formatPath(path);
    return;
  }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    yield* differences(before[key], after[key], [...path, key]);
  }
}

function isBlock(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
