/** From the configuration to the dataplane of its mode. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { Dataplane, DataplaneListener } from '../dataplane/Dataplane.js';
import type { Sysctls } from '../kernel/sysctl/Sysctls.js';
import type { IpAddress } from '../net/ip.js';
import { openIptables } from './iptablesMode.js';
import { openIpvs } from './ipvsMode.js';
import { openNftables } from './nftablesMode.js';
import { openUserspace } from './userspaceMode.js';

/** What every mode uses of the host. */
export interface ModeHost {
  readonly sysctls: Sysctls;
  /** The same array until they change. */
  readonly addresses: () => readonly IpAddress[];
  /** The addresses of this link are those of Services, not the host's own. */
  readonly ignoreLink: (index: number) => void;
}

/** Rejects with what the mode lacks on this host. settleMode() comes first. */
export async function openDataplane(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<Dataplane> {
  switch (config.mode) {
    case 'nftables':
      return openNftables(config, host, listener, log);
    case 'ipvs':
      return openIpvs(config, host, listener, log);
    case 'userspace':
      return openUserspace(config, host, listener, log);
    default:
      return openIptables(config, host, listener, log);
  }
}
