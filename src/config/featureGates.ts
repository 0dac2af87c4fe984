/**
 * The Kubernetes feature gates that mean something to a service proxy.
 * Source: Kubernetes 1.36 pkg/features, component-base.
 */
import { nearestName } from '../net/nearestName.js';

interface Gate {
  readonly stage: 'alpha' | 'beta' | 'stable';
  readonly enabled: boolean;
}

const GATES = {
  AllowServiceExternalIPs: { stage: 'stable', enabled: true },
  ComponentFlagz: { stage: 'beta', enabled: true },
  ComponentStatusz: { stage: 'beta', enabled: true },
  ContextualLogging: { stage: 'beta', enabled: true },
  LoggingAlphaOptions: { stage: 'alpha', enabled: false },
  LoggingBetaOptions: { stage: 'beta', enabled: true },
  MultiCIDRServiceAllocator: { stage: 'stable', enabled: true },
  NativeHistograms: { stage: 'alpha', enabled: false },
  PreferSameTrafficDistribution: { stage: 'stable', enabled: true },
} as const satisfies Readonly<Record<string, Gate>>;

/** Gates that Kubernetes no longer lets anybody change. */
const LOCKED: ReadonlySet<string> = new Set(['MultiCIDRServiceAllocator', 'PreferSameTrafficDistribution']);

/** They stand for every gate of a stage that is not set by its own name. */
const STAGE_SWITCHES = { alpha: 'AllAlpha', beta: 'AllBeta' } as const;

export type FeatureGate = keyof typeof GATES;

/** What is wrong with one setting, or undefined. */
export function featureGateFault(name: string, enabled: boolean): string | undefined {
  if (LOCKED.has(name) && !enabled)
    return 'is always on in Kubernetes 1.36 and cannot be turned off; remove it';
  if (isKnown(name)) return undefined;
  const near = nearestName(name, [...Object.keys(GATES), ...Object.values(STAGE_SWITCHES)]);
  return near && `is not a known feature gate; did you mean ${near}?`;
}

/** Gates of other components: harmless in a list that a whole cluster shares, and without effect here. */
export function unknownFeatureGates(given: Readonly<Record<string, boolean>>): readonly string[] {
  return Object.keys(given).filter((name) => !isKnown(name));
}

/** The state of every known gate. */
export function resolveFeatureGates(
  given: Readonly<Record<string, boolean>>,
): Readonly<Record<FeatureGate, boolean>> {
  const states = Object.entries<Gate>(GATES).map(([name, { stage, enabled }]) => {
    const ofStage = stage === 'stable' ? undefined : given[STAGE_SWITCHES[stage]];
    return [name, given[name] ?? ofStage ?? enabled];
  });
  return Object.fromEntries(states) as Record<FeatureGate, boolean>;
}

function isKnown(name: string): boolean {
  return Object.hasOwn(GATES, name) || Object.values<string>(STAGE_SWITCHES).includes(name);
}
