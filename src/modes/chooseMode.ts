/** Which mode a node runs in when the configuration leaves it open, and whether the kernel can what is asked of it. */
import { release } from 'node:os';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import { messageOf, PenstockError } from '../errors.js';
import { hostFamilies } from '../kernel/host/hostFamilies.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { ALL, type FeatureResult, probeFeatures } from '../kernel/nftables/features.js';

export interface ModeChoice {
  readonly mode: 'nftables' | 'iptables';
  /** One sentence. */
  readonly reason: string;
  /** What will not work in this mode on this kernel. */
  readonly warnings: readonly string[];
}

/** Asks this kernel. A kernel that cannot be asked at all lacks everything. `more`: asked beside what mode nftables can use. */
export async function probeKernel(more?: typeof probeFeatures): Promise<readonly FeatureResult[] | Error> {
  try {
    return await NetlinkChannel.using(NetlinkProtocol.NETFILTER, async (channel) => {
      const families = hostFamilies();
      const results = await probeFeatures(channel, families);
      return more === undefined ? results : [...results, ...(await more(channel, families))];
    });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/**
 * The configuration with its mode settled, and in the log why. Throws PENSTOCK_NFTABLES_UNSUPPORTED when mode nftables is
 * asked for and cannot be.
 */
export async function settleMode(
  config: NodeConfig,
  withMode: (mode: NodeConfig['mode']) => NodeConfig,
  probe: () => ReturnType<typeof probeKernel>,
  log: Logger,
): Promise<NodeConfig> {
  if (config.mode !== '' && config.mode !== 'nftables') return config;
  const probed = await probe();
  const choice: ModeChoice =
    config.mode === ''
      ? chooseMode(probed)
      : {
          mode: config.mode,
          reason: 'as configured; the kernel has everything that it needs',
          warnings: requireNftables(probed),
        };
  log.info(`mode ${choice.mode}: ${choice.reason}`);
  log.debug(featureTable(probed), `what kernel ${release()} has of what mode nftables can use`);
  for (const warning of choice.warnings) log.warn(warning);
  return config.mode === '' ? withMode(choice.mode) : config;
}

/** Feature → `ok`, or what the kernel said; one column a family. */
function featureTable(probed: readonly FeatureResult[] | Error): Record<string, Record<string, string>> {
  const table: Record<string, Record<string, string>> = {};
  if (probed instanceof Error) return table;
  for (const { feature, family, error } of probed) {
    const column = table[family] ?? {};
    column[feature.name] = error ? messageOf(error) : 'ok';
    table[family] = column;
  }
  return table;
}

/** For `mode: ""`: nftables where everything that it needs is there. */
export function chooseMode(probed: readonly FeatureResult[] | Error): ModeChoice {
  const missing = whatIsMissing(probed);
  if (missing !== undefined) {
    return { mode: 'iptables', reason: `mode nftables is not possible: ${missing}`, warnings: [] };
  }
  return {
    mode: 'nftables',
    reason: 'the kernel has everything that mode nftables needs',
    warnings: limits(probed),
  };
}

/** For `mode: nftables`: what will not work. Throws PENSTOCK_NFTABLES_UNSUPPORTED when nothing would. */
export function requireNftables(probed: readonly FeatureResult[] | Error): readonly string[] {
  const missing = whatIsMissing(probed);
  if (missing === undefined) return limits(probed);
  throw new PenstockError('PENSTOCK_NFTABLES_UNSUPPORTED', `mode nftables is not possible: ${missing}`, {
    remedy:
      'Use a kernel of 5.13 or newer with these options (`penstock doctor` lists them all), load the modules on the host, ' +
      'or set mode: iptables.',
  });
}

/** Undefined when nothing is. */
function whatIsMissing(probed: readonly FeatureResult[] | Error): string | undefined {
  if (probed instanceof Error) {
    const isForbidden = 'code' in probed && probed.code === 'EPERM';
    return isForbidden ? 'to ask the kernel needs root' : `nf_tables cannot be asked: ${messageOf(probed)}`;
  }
  const missing = probed.filter(({ error, feature }) => error && feature.neededFor === ALL);
  return missing.length === 0 ? undefined : missing.map(describe).join('; ');
}

function limits(probed: readonly FeatureResult[] | Error): readonly string[] {
  if (probed instanceof Error) return [];
  return probed
    .filter(({ error, feature }) => error && feature.neededFor !== ALL)
    .map((result) => `${result.feature.neededFor} will not work: ${describe(result)}`);
}

function describe({ feature, family, error }: FeatureResult): string {
  return `this kernel lacks "${feature.name}" for ${family}, ${feature.kernelOption}${error ? ` (${messageOf(error)})` : ''}`;
}
