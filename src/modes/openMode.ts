/** From the configuration to its mode, opened. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { DataplaneListener } from '../dataplane/Dataplane.js';
import { openIptables } from './iptablesMode.js';
import { openIpvs } from './ipvsMode.js';
import type { ModeHost, OpenMode } from './ModeHost.js';
import { openNftables } from './nftablesMode.js';
import { openUserspace } from './userspaceMode.js';

/** Rejects with what the mode lacks on this host; nothing is open then. settleMode() comes first. */
export async function openMode(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<OpenMode> {
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
