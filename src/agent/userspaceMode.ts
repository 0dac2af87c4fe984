/** Mode userspace on this host: the engine, and the rules that send it connections. */
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { AgentConfig } from '../config/AgentConfig.js';
import type { Dataplane } from '../dataplane/Dataplane.js';
import { CAPTURE_TABLE, UserspaceDataplane } from '../dataplane/userspace/UserspaceDataplane.js';
import { messageOf, PenstockError } from '../errors.js';
import type { NativeEngine, NativeEngineOptions } from '../kernel/engine/NativeEngine.js';
import { nativeAddon } from '../kernel/nativeAddon.js';
import { familyOf, type IpAddress, type IpFamily, isLoopback } from '../net/ip.js';
import type { RoutingView } from '../routing/RoutingView.js';
import { localhostFamilies } from './localhostNodePorts.js';
import { nftablesFamilies, openTable } from './nftablesMode.js';
import type { ModeHost } from './openDataplane.js';

/** Abstract Unix socket, so it is one for each network namespace, as the listening ports are. */
const TAKEOVER_NAME = 'penstock-userspace';
const LOOPBACK: Readonly<Record<IpFamily, IpAddress>> = {
  IPv4: '127.0.0.1' as IpAddress,
  IPv6: '::1' as IpAddress,
};
const TCP = 6;
const UDP = 17;
const INSIDE = 0;

export async function openUserspace(config: AgentConfig, host: ModeHost, log: Logger): Promise<Dataplane> {
  const { threads, takeover, portRange, udpIdleTimeout, drainTimeout, shutdownTimeout } = config.userspace;
  const families = nftablesFamilies();
  const engine = openEngine({
    threads: threads || availableParallelism(),
    ipv6: families.includes('IPv6') ? 1 : 0,
    firstPort: portRange.first,
    lastPort: portRange.last,
    takeOverFrom: takeover ? TAKEOVER_NAME : '',
  });
  const onLoopback = localhostFamilies(config, families);
  const capture = openTable(CAPTURE_TABLE, config, host, {
    localhostPorts: (family) => {
      if (!onLoopback.includes(family)) return {};
      const number = family === 'IPv4' ? 4 : 6;
      return { tcp: engine.port(TCP, number, INSIDE), udp: engine.port(UDP, number, INSIDE) };
    },
    close: async () => {},
  });
  return new UserspaceDataplane(
    {
      families,
      udpIdleTimeout,
      drainTimeout: drainTimeout === 0 ? undefined : drainTimeout,
      shutdownTimeout,
      takeoverName: TAKEOVER_NAME,
    },
    {
      engine,
      capture,
      address: (family, table) => engineAddress(family, table, host.addresses()),
      say: (level, text) => log[level](text),
    },
  );
}

function openEngine(options: NativeEngineOptions): NativeEngine {
  try {
    return new (nativeAddon().ProxyEngine)(options);
  } catch (cause) {
    if (cause instanceof PenstockError) throw cause;
    throw new PenstockError('PENSTOCK_PROXY_UNAVAILABLE', `the proxy cannot listen: ${messageOf(cause)}`, {
      cause,
      remedy:
        'Give a portRange with free ports, or none; a penstock that runs here already needs --takeover.',
    });
  }
}

/** The node's own address, or any other of this host; loopback serves only the host itself. */
function engineAddress(family: IpFamily, { node }: RoutingView, addresses: readonly IpAddress[]): IpAddress {
  const own = addresses.filter((ip) => familyOf(ip) === family && !isLoopback(ip) && !ip.startsWith('fe80:'));
  const wanted = node.addresses[family];
  if (wanted !== undefined && own.includes(wanted)) return wanted;
  return own[0] ?? LOOPBACK[family];
}
