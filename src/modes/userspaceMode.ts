/** Mode userspace on this host: the engine, and the rules that send it connections. */
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { DataplaneListener } from '../dataplane/Dataplane.js';
import { localTraffic, type NftablesOptions } from '../dataplane/nftables/desired/NftablesSettings.js';
import { CAPTURE_TABLE } from '../dataplane/userspace/CaptureView.js';
import type { EncodingFacts } from '../dataplane/userspace/encodeServices.js';
import { SocketLookup } from '../dataplane/userspace/SocketLookup.js';
import { UserspaceDataplane } from '../dataplane/userspace/UserspaceDataplane.js';
import { messageOf, PenstockError } from '../errors.js';
import { OpenList } from '../host/OpenList.js';
import { thisProcess } from '../host/privileges.js';
import type { NativeEngine, NativeEngineOptions } from '../kernel/addon/NativeEngine.js';
import { nativeAddon } from '../kernel/addon/nativeAddon.js';
import { hostFamilies } from '../kernel/host/hostFamilies.js';
import { takeoverSocket } from '../kernel/host/stateFiles.js';
import { DivertRoutes } from '../kernel/routes/DivertRoutes.js';
import { LocalRanges } from '../kernel/routes/LocalRanges.js';
import { countTcpSockets } from '../kernel/routes/tcpSockets.js';
import type { IpFamily } from '../net/ip.js';
import type { RoutingView } from '../routing/RoutingView.js';
import { AcceptOnConnect } from './beside/AcceptOnConnect.js';
import { accompanied } from './beside/AccompaniedDataplane.js';
import { engineAddress } from './beside/engineAddress.js';
import { WakeOnConnect, wakeOptions } from './beside/WakeOnConnect.js';
import { localhostFamilies } from './localhostNodePorts.js';
import { type ModeHost, NOTHING_TO_PREPARE, type OpenMode } from './ModeHost.js';
import { nftablesOptions, openTable } from './nftablesMode.js';
import { DIVERT } from './removing/removeUserspace.js';

/** Bit 12: connections of the proxy itself, which no rule sends back to it. */
const OWN_MARK = 0x1000;
const TCP = 6;
const UDP = 17;
const INSIDE = 0;

export async function openUserspace(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<OpenMode> {
  const { threads, takeover, portRange } = config.userspace;
  const families = hostFamilies();
  if (!thisProcess().capabilities.has('NET_RAW'))
    log.warn(
      'without CAP_NET_RAW clients of UDP services are not told (ICMP port unreachable) when no endpoint takes their datagrams; they wait',
    );
  // For a start that fails: later on the dataplane closes what it has.
  const begun = new OpenList(log);
  return begun.closeUnless(async () => {
    const engine = openEngine({
      threads: threads || availableParallelism(),
      ipv6: families.includes('IPv6') ? 1 : 0,
      firstPort: portRange.first,
      lastPort: portRange.last,
      mark: OWN_MARK,
      untranslated: config.userspace.socketLookup === 'auto' ? 1 : 0,
      takeOverFrom: takeover ? takeoverSocket() : '',
    });
    begun.add('the proxy', () => engine.close());
    const rules = new OpenList(log);
    begun.add('the capture', () => rules.close());
    return openAround(engine, rules, config, host, listener, log);
  });
}

/** `rules`: what is open for the capture. */
function openAround(
  engine: NativeEngine,
  rules: OpenList,
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): OpenMode {
  const { takeover, udpIdleTimeout, drainTimeout, shutdownTimeout, sourceAddress } = config.userspace;
  const families = hostFamilies();
  const onLoopback = localhostFamilies(config, families);
  const capture = (heard: DataplaneListener) =>
    openTable(
      CAPTURE_TABLE,
      captureOptions(config),
      host,
      {
        localhostPorts: (family) => {
          if (!onLoopback.includes(family)) return {};
          const number = family === 'IPv4' ? 4 : 6;
          return { tcp: engine.port(TCP, number, INSIDE), udp: engine.port(UDP, number, INSIDE) };
        },
        divertMark: (family) => (dataplane.isTransparent(family) ? DIVERT.mark : 0),
        untranslated: (family) => lookup.ranges(family),
      },
      rules,
      heard,
    );
  const routes = new DivertRoutes(DIVERT);
  const facts = new NodeFactsCache(config, host);
  const say = (level: 'info' | 'warn', text: string) => log[level](text);
  const wanted = config.userspace.socketLookup === 'auto';
  const lookup = new SocketLookup({
    wanted,
    engine,
    routes: new LocalRanges(),
    connections: countTcpSockets,
    say,
    clock: host.clock,
  });
  const dataplane = new UserspaceDataplane(
    {
      families,
      udpIdleTimeout,
      drainTimeout: drainTimeout === 0 ? undefined : drainTimeout,
      sourceAddress,
      ...(config.algorithm !== '' && { algorithm: config.algorithm }),
      shutdownTimeout,
      takeoverPath: takeover ? takeoverSocket() : undefined,
    },
    {
      engine,
      capture,
      address: (family, table) => engineAddress(family, table, host.addresses()),
      facts: (family, table) => facts.of(family, table),
      divert: (family, what) => routes[what](family),
      lookup,
      say,
      clock: host.clock,
    },
    listener,
  );
  const waking = new WakeOnConnect(families, wakeOptions(config), host, log);
  const accepting = new AcceptOnConnect(families, config, host, log, OWN_MARK);
  return {
    dataplane: accompanied(dataplane, { inForce: waking, accepting }),
    prepareHost: NOTHING_TO_PREPARE,
  };
}

/** The proxy is on this host: it sees clients as they are. */
export function captureOptions(config: NodeConfig): NftablesOptions {
  return { ...nftablesOptions(config), masqueradeMark: 0, ownMark: OWN_MARK };
}

/** What source address transparent depends on, as one object for as long as nothing differs. */
class NodeFactsCache {
  readonly #config: NodeConfig;
  readonly #host: ModeHost;
  readonly #known = new Map<IpFamily, { readonly key: readonly unknown[]; readonly facts: EncodingFacts }>();

  constructor(config: NodeConfig, host: ModeHost) {
    this.#config = config;
    this.#host = host;
  }

  of(family: IpFamily, { nodeObject }: RoutingView): EncodingFacts {
    const addresses = this.#host.addresses();
    const local = localTraffic(this.#config.detectLocal, family, nodeObject?.podCIDRs ?? []);
    const pods = local?.by === 'source' ? local.cidr : undefined;
    const key = [addresses, pods];
    const known = this.#known.get(family);
    if (known?.key.every((part, i) => part === key[i])) return known.facts;
    const own = new Set(addresses);
    const facts: EncodingFacts = {
      pods,
      masqueradeAll: this.#config.masqueradeAll,
      isHostAddress: (address) => own.has(address),
    };
    this.#known.set(family, { key, facts });
    return facts;
  }
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
