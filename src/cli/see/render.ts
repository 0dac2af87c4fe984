/** penstock render: prints the rules that a full sync would write on an empty host. Needs no root and no kernel. */
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { PooledSource } from '../../agent/addresses/PooledSource.js';
import { NodePortSource } from '../../agent/external/NodePortSource.js';
import { makeTable } from '../../agent/makeTable.js';
import { readOnce } from '../../agent/readOnce.js';
import { parseRunCommand } from '../../config/flags/parseRunCommand.js';
import { type NodeConfig, toNodeConfig } from '../../config/NodeConfig.js';
import { readConfigText } from '../../config/readConfigText.js';
import { renderFamily as renderIptables } from '../../dataplane/iptables/renderFamily.js';
import { renderFamily as renderIpvs } from '../../dataplane/ipvs/renderFamily.js';
import { renderFamily as renderNftables } from '../../dataplane/nftables/renderFamily.js';
import {
  CAPTURE_TABLE,
  CaptureView,
  type EngineAddress,
  throughViews,
} from '../../dataplane/userspace/CaptureView.js';
import { hostAddresses, primaryAddresses } from '../../kernel/host/hostAddresses.js';
import { ManifestSource } from '../../kubernetes/manifests/ManifestSource.js';
import { requireSomething } from '../../kubernetes/manifests/manifestErrors.js';
import type { ObjectSource } from '../../kubernetes/ObjectSource.js';
import { engineAddress } from '../../modes/beside/engineAddress.js';
import { iptablesOptions } from '../../modes/iptablesMode.js';
import { ipvsOptions } from '../../modes/ipvsMode.js';
import { localhostFamilies } from '../../modes/localhostNodePorts.js';
import { nftablesOptions } from '../../modes/nftablesMode.js';
import { captureOptions } from '../../modes/userspaceMode.js';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';
import { printableLines } from '../../net/printable.js';
import { asNew } from '../../routing/ChangeSet.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import { systemClock } from '../../time/Clock.js';
import { WrongCall } from '../readArguments.js';

export const HELP = `penstock render --manifests PATH [--mode nftables|iptables|ipvs|userspace] [--family IPv4|IPv6] [flags of penstock run]

Prints what penstock would write for the manifests on an empty host, as input of nft -f or of iptables-restore --noflush;
in mode ipvs one part after the other for ipset restore, ipvsadm -R, ip -batch - and iptables-restore --noflush; in mode
userspace what leads connections to the proxy, whose ports are those of a running one only by chance.
Needs no root. Problems in the manifests go to standard error; the exit status is then 1, and 2 when nothing of them can be used.

  penstock render --manifests examples/manifests | nft --check -f -
  penstock render --manifests examples/manifests --mode iptables --family IPv4 | iptables-restore --noflush --test
`;

type Renderer = (family: IpFamily, table: RoutingTable, config: NodeConfig) => string | Promise<string>;

const RENDERERS: Readonly<Record<Exclude<NodeConfig['mode'], ''>, Renderer>> = {
  iptables: (family, table, config) => {
    const program = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
    return `# ${family}: ${program} --noflush\n${renderIptables(family, table, iptablesOptions(config))}`;
  },
  ipvs: (family, table, config) => {
    const { sets, servers, addresses, rules } = renderIpvs(
      family,
      table,
      ipvsOptions(config),
      hostAddresses(),
    );
    const program = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
    return (
      `# ${family}: ipset restore\n${sets}# ${family}: ipvsadm -R\n${servers}` +
      `# ${family}: ip -batch -\n${addresses}# ${family}: ${program} --noflush\n${rules}`
    );
  },
  nftables: async (family, table, config) =>
    `# ${family}: nft -f -\n${await renderNftables(family, table, nftablesOptions(config), {
      addresses: hostAddresses(),
      localhostPorts: {},
    })}`,
  userspace: async (family, table, config) =>
    `# ${family}: nft -f -\n${await renderCapture(family, table, config)}`,
};
/** Where a rendered proxy listens when no range is configured. */
const EXAMPLE_PORT = 40_000;

async function renderCapture(family: IpFamily, table: RoutingTable, config: NodeConfig): Promise<string> {
  const addresses = hostAddresses();
  const first = config.userspace.portRange.first || EXAMPLE_PORT;
  const engine: EngineAddress = {
    address: engineAddress(family, table, addresses),
    TCP: { inside: first, outside: first + 1 },
    UDP: { inside: first + 2, outside: first + 3 },
  };
  const view = new CaptureView(engine);
  view.apply(asNew(table.servicePorts(family).values()));
  const onLoopback = localhostFamilies(config, [family]).length > 0;
  const localhostPorts = onLoopback ? { tcp: engine.TCP.inside, udp: engine.UDP.inside } : {};
  return renderNftables(
    family,
    throughViews(table, new Map([[family, view]])),
    captureOptions(config),
    { addresses, localhostPorts },
    CAPTURE_TABLE,
  );
}

/** Undefined for what is no mode. */
export function rendererOf(mode: string): Renderer | undefined {
  return Object.entries(RENDERERS).find(([name]) => name === mode)?.[1];
}

export async function render(argv: readonly string[]): Promise<number> {
  const { own, rest } = splitArguments(argv);
  if (own.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const command = parseRunCommand(rest, { readFile: readConfigText, hostname });
  if (command.type !== 'run') return 0;
  const mode = own.mode ?? (command.config.mode || 'nftables');
  const renderer = rendererOf(mode);
  if (!renderer) {
    throw new WrongCall(
      `there is no mode ${JSON.stringify(mode)}`,
      `Use --mode ${Object.keys(RENDERERS).join(' or --mode ')}.`,
    );
  }
  const { family: wanted } = own;
  if (wanted !== undefined && !IP_FAMILIES.some((family) => family === wanted)) {
    throw new WrongCall(
      `there is no family ${JSON.stringify(wanted)}`,
      `Use --family ${IP_FAMILIES.join(' or ')}.`,
    );
  }
  // Some defaults depend on the mode.
  const config = toNodeConfig({ ...command.source, mode: mode as NodeConfig['mode'] }, hostname());
  if (config.manifests === '') {
    throw new WrongCall('there is nothing to render', 'Give --manifests PATH.');
  }
  const table = makeTable(config, await primaryAddresses());
  const problems = await readOnce(sourceOf(config), table);
  requireSomething(problems, table.services);
  table.commit();
  for (const family of IP_FAMILIES.filter((f) => own.family === undefined || own.family === f)) {
    process.stdout.write(await renderer(family, table, config));
  }
  const all = [...problems, ...table.problems()];
  for (const { subject, message, where } of all) {
    process.stderr.write(
      printableLines(`penstock render: ${where ? `${where}: ` : ''}${subject}: ${message}\n`),
    );
  }
  return all.every(({ severity }) => severity === 'note') ? 0 : 1;
}

/** Nobody is asked: every node of an external balancer counts as one that passes its checks. */
function sourceOf({ manifests, externalBalancer: { serve, addresses } }: NodeConfig): ObjectSource {
  const source = new PooledSource(new ManifestSource(manifests));
  if (!serve) return source;
  const passes = async () => undefined;
  const connect = { connects: passes, 'answers 200': passes };
  return new NodePortSource(source, { clock: systemClock, random: Math.random, addresses, connect });
}

/** The flags of render alone, and all others, which are those of run. */
function splitArguments(argv: readonly string[]): {
  own: { mode?: string; family?: string; help?: boolean };
  rest: string[];
} {
  const { tokens, values } = parseArgs({
    args: [...argv],
    options: { mode: { type: 'string' }, family: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    strict: false,
    tokens: true,
  });
  const ownIndexes = new Set<number>();
  for (const token of tokens) {
    if (token.kind !== 'option' || !['mode', 'family', 'help'].includes(token.name)) continue;
    ownIndexes.add(token.index);
    if (token.name !== 'help' && !token.inlineValue) ownIndexes.add(token.index + 1);
  }
  const text = (value: unknown) => (typeof value === 'string' ? { value } : undefined)?.value;
  const mode = text(values.mode);
  const family = text(values.family);
  return {
    own: { ...(mode ? { mode } : {}), ...(family ? { family } : {}), help: values.help === true },
    rest: argv.filter((_, index) => !ownIndexes.has(index)),
  };
}
