/** From the configuration to its mode, opened. The files of the other modes stay unread. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { DataplaneListener } from '../dataplane/Dataplane.js';
import type { ModeHost, OpenMode } from './ModeHost.js';

/** Rejects with what the mode lacks on this host; nothing is open then. settleMode() comes first. */
export async function openMode(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<OpenMode> {
  switch (config.mode) {
    case 'nftables':
      return (await import('./nftablesMode.js')).openNftables(config, host, listener, log);
    case 'ipvs':
      return (await import('./ipvsMode.js')).openIpvs(config, host, listener, log);
    case 'userspace':
      return (await import('./userspaceMode.js')).openUserspace(config, host, listener, log);
    default:
      return (await import('./iptablesMode.js')).openIptables(config, host, listener, log);
  }
}
