/** Whether this kernel gives mode userspace connections without NAT: asked by `penstock doctor`, as an agent asks at its start. */
import { nativeAddon } from '../../kernel/addon/nativeAddon.js';
import type { FeatureResult, KernelFeature } from '../../kernel/nftables/features.js';
import type { IpFamily } from '../../net/ip.js';

export const LOOKUP: KernelFeature = {
  name: 'socket lookup (CAP_BPF)',
  neededFor: 'mode userspace without NAT',
  kernelOption: 'CONFIG_BPF_SYSCALL and CONFIG_BPF_STREAM_PARSER, Linux 5.9',
};

/** One answer for all families. Never throws. */
export function probeLookup(families: readonly IpFamily[]): readonly FeatureResult[] {
  let error: Error | undefined;
  try {
    nativeAddon().probeSocketLookup();
  } catch (cause) {
    error = cause instanceof Error ? cause : new Error(String(cause));
  }
  return families.map((family) => ({ feature: LOOKUP, family, error }));
}
