/** penstock lb: how this node's load balancer stands, and why; and moving an address. */
import { ANNOUNCE_FROM } from '../../balancer/announce/planAnnouncing.js';
import type { AddressReport, AnnouncerReport } from '../../balancer/announce/report.js';
import { PenstockError } from '../../errors.js';
import { openApiServer } from '../../kubernetes/openApiServer.js';
import { parseIp } from '../../net/ip.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { AgentClient } from '../see/AgentClient.js';
import { colour, formatOf, OUTPUT_FLAG, print, printJson, table } from '../see/output.js';
import { packageVersion } from '../version.js';

export const HELP = `penstock lb status | owners | pools | peers | why SERVICE | move ADDRESS --to NODE

Says how the addresses of LoadBalancer Services are announced, as this node sees it.

  status                 this node: may it announce, whom does it hear, what is wrong
  owners                 each address: who announces it, and who would be next
  pools                  pools of addresses, and how many are in use
  peers                  sessions with routers (BGP, BFD)
  why SERVICE|ADDRESS    why an address is announced, or is not, and what to do
  move ADDRESS --to NODE let NODE announce it where it can; --back takes that back.
                         Changes an annotation of the Service, with --kubeconfig FILE
                         (default $KUBECONFIG); from manifests it prints what to write

  -o, --output json

Exit status: 0 fine, 1 something is not announced, 2 could not look.
`;

const WORDS = ['status', 'owners', 'pools', 'peers', 'why', 'move'] as const;

export async function lb(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: {
      ...OUTPUT_FLAG,
      to: { type: 'string' },
      back: { type: 'boolean' },
      kubeconfig: { type: 'string' },
    },
    words: [0, 2],
    wordsText: `${WORDS.join(' | ')} [SERVICE|ADDRESS]`,
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const [given = 'status', subject = ''] = words;
  const word = WORDS.find((each) => each === given);
  if (word === undefined)
    throw new WrongCall(`penstock lb knows no ${JSON.stringify(given)}`, `Use one of ${WORDS.join(', ')}.`);
  const needsSubject = word === 'why' || word === 'move';
  if (needsSubject && subject === '')
    throw new WrongCall(`penstock lb ${word} needs a Service or an address`, 'See penstock lb --help.');
  if (!needsSubject && subject !== '')
    throw new WrongCall(`penstock lb ${word} takes nothing more`, 'See penstock lb --help.');
  if (word !== 'move' && (values.to !== undefined || values.back))
    throw new WrongCall('--to and --back are for penstock lb move', 'See penstock lb --help.');
  const report = await askAgent();
  if (word === 'move') return move(report, subject, values.to, values.back === true, values.kubeconfig);
  const chosen = word === 'why' ? chosenOf(report, subject) : report.addresses;
  if (formatOf(values.output) === 'json') printJson(word === 'why' ? chosen : report);
  else print(TEXTS[word](report, chosen));
  const isWrong = (each: AddressReport) => !isAnnounced(each, report) || each.refusals.length > 0;
  return chosen.some(isWrong) || report.excluded !== undefined ? 1 : 0;
}

async function askAgent(): Promise<AnnouncerReport> {
  const agent = await AgentClient.find();
  if (agent === undefined)
    throw new PenstockError('PENSTOCK_NO_AGENT', 'no agent runs on this node', {
      remedy: 'Run it on a node whose agent announces; `penstock status` says whether one runs.',
    });
  const { report } = (await agent.ask('/v1/balancer')) as { report: AnnouncerReport | string };
  if (typeof report === 'string')
    throw new PenstockError('PENSTOCK_NO_AGENT', `the agent of this node announces nothing: ${report}`, {
      remedy: 'docs/loadbalancer.md says what penstock.loadBalancer.announce needs.',
    });
  return report;
}

/** By whom, in a word; '' for nobody. */
function announcedBy({ owner, bgp, reasons }: AddressReport, { peers }: AnnouncerReport): string {
  const sessions = peers.filter(({ state }) => state === 'established').length;
  const byBgp = bgp.length > 0 && reasons.length === 0 && sessions > 0 ? [`BGP to ${sessions}`] : [];
  return [...(owner === undefined ? [] : [owner]), ...byBgp].join(', ');
}

function isAnnounced(address: AddressReport, report: AnnouncerReport): boolean {
  return announcedBy(address, report) !== '' && !address.here.some(({ conflict }) => conflict !== undefined);
}

function stateOf(address: AddressReport, report: AnnouncerReport): string {
  const conflict = address.here.find((each) => each.conflict !== undefined)?.conflict;
  if (conflict !== undefined) return `somebody else has it: ${conflict}`;
  if (!isAnnounced(address, report)) return 'not announced';
  const own = address.here.filter(({ state }) => state !== 'observing');
  return own.length > 0 ? own.map(({ device, state }) => `${state} on ${device}`).join(', ') : 'ok';
}

const TEXTS = {
  status: (report: AnnouncerReport): string[] => {
    const { node, excluded, interfaces, connected, members, addresses, peers, tiers, problems } = report;
    const lost = addresses.filter((each) => !isAnnounced(each, report));
    const own = addresses.filter(({ here }) => here.some(({ state }) => state === 'owning'));
    return [
      excluded === undefined ? `node ${node}` : colour('red', `node ${node} announces nothing: ${excluded}`),
      `LANs: ${interfaces.map(({ name, isUp, networks }) => `${name}${isUp ? '' : ' (down)'} ${networks.join(' ')}`).join(', ') || 'none'}`,
      connected
        ? 'the other nodes are known'
        : colour(
            'yellow',
            'the view of the other nodes is frozen: the API server is away, or refuses the Lease',
          ),
      ...(tiers === undefined
        ? ['one tier: under policy Local only nodes with endpoints announce']
        : tiers.works
          ? [`two tiers: ${tiers.ports} ports lead on to nodes with endpoints, tables ${tiers.digest}`]
          : [colour('yellow', `one tier: ${tiers.reason}`)]),
      `addresses: ${addresses.length}, ${own.length} announced from here, ${lost.length} by nobody`,
      ...lost
        .slice(0, 10)
        .map(({ address, services }) =>
          colour('red', `  ${address} of ${services.join(', ')}: penstock lb why ${address}`),
        ),
      ...problems.map(({ subject, message }) => colour('yellow', `${subject}: ${message}`)),
      '',
      ...table(
        [{ title: 'NODE', shrinks: true }, { title: 'ADDRESS' }, { title: 'LEASE' }, { title: 'HEARTBEAT' }],
        members.map(({ name, address, fresh, deaf, heartbeat }) => [
          name,
          address ?? '-',
          !fresh ? 'run out' : deaf ? 'hears nobody' : 'ok',
          heartbeat,
        ]),
      ),
      ...(peers.length === 0 ? [] : ['', ...peersText(report)]),
    ];
  },
  owners: (report: AnnouncerReport, chosen: readonly AddressReport[]): string[] =>
    chosen.length === 0
      ? ['no Service of type LoadBalancer has an address']
      : table(
          [
            { title: 'ADDRESS' },
            { title: 'SERVICE', shrinks: true },
            { title: 'OWNER', shrinks: true },
            { title: 'NEXT', shrinks: true },
            { title: 'STATE', shrinks: true },
          ],
          chosen.map((each) => [
            each.address,
            each.services.join(' '),
            announcedBy(each, report) || '-',
            each.order.find((name) => name !== each.owner) ?? '-',
            stateOf(each, report),
          ]),
        ),
  pools: ({ pools }: AnnouncerReport): string[] =>
    pools.length === 0
      ? ['there is no IPAddressPool']
      : table(
          [{ title: 'POOL', shrinks: true }, { title: 'USED' }, { title: 'OF' }, { title: 'GIVEN UNASKED' }],
          pools.map(({ pool, used, size, autoAssign }) => [
            pool,
            String(used),
            size,
            autoAssign ? 'yes' : 'no',
          ]),
        ),
  peers: peersText,
  why: (report: AnnouncerReport, chosen: readonly AddressReport[]): string[] =>
    chosen.flatMap((each) => [
      `${each.address} of ${each.services.join(', ')}: ${stateOf(each, report)}`,
      `  pool ${each.pool ?? 'none'}; L2Advertisements ${each.layer2.join(', ') || 'none'}; BGPAdvertisements ${each.bgp.join(', ') || 'none'}`,
      ...(each.layer2.length === 0
        ? []
        : [
            `  layer 2: ${each.owner ?? 'no node may'}${each.order.length > 1 ? `, of ${each.order.join(', ')}` : ''}`,
          ]),
      ...each.here.flatMap(({ device, heardPeer, conflict }) => [
        ...(heardPeer === undefined ? [] : [`  on ${device} node ${heardPeer} was heard to have it`]),
        ...(conflict === undefined
          ? []
          : [
              `  on ${device} the hardware address ${conflict} answers for it: take the address away there, or give the Service another`,
            ]),
      ]),
      ...each.refusals.map(({ service, why }) => `  - not for ${service}: ${why}`),
      ...each.reasons.map((reason) => `  - ${reason}`),
      ...(each.layer2.length > 0 &&
      each.owner === undefined &&
      each.reasons.length + each.refusals.length === 0
        ? [
            '  - no node is a candidate: look at nodeSelectors, labels and networks with `penstock lb status` on the nodes.',
          ]
        : []),
    ]),
} as const;

function peersText({ peers }: AnnouncerReport): string[] {
  if (peers.length === 0) return ['there is no BGPPeer for this node'];
  return table(
    [
      { title: 'ROUTER', shrinks: true },
      { title: 'ADDRESS' },
      { title: 'SESSION' },
      { title: 'PREFIXES' },
      { title: 'BFD' },
      { title: 'WHY', shrinks: true },
    ],
    peers.map(({ peer, address, state, announced, bfd, reason }) => [
      peer,
      address,
      state,
      String(announced),
      bfd ?? '-',
      reason ?? '',
    ]),
  );
}

function chosenOf({ addresses }: AnnouncerReport, subject: string): readonly AddressReport[] {
  const ip = parseIp(subject);
  const found = addresses.filter(
    ({ address, services }) =>
      address === ip || services.some((path) => path === subject || path.endsWith(`/${subject}`)),
  );
  if (found.length > 0) return found;
  throw new WrongCall(
    `no Service of type LoadBalancer with an address is called ${JSON.stringify(subject)}`,
    'Without an address look at its Events (`kubectl describe service`): the allocator says why it gave none.',
  );
}

async function move(
  report: AnnouncerReport,
  subject: string,
  to: string | undefined,
  back: boolean,
  kubeconfig: string | undefined,
): Promise<number> {
  if ((to === undefined) === !back)
    throw new WrongCall('penstock lb move needs --to NODE or --back', 'See penstock lb --help.');
  const [first] = chosenOf(report, subject);
  const service = first?.services[0] ?? '';
  if (to !== undefined && !first?.order.includes(to))
    throw new WrongCall(
      `node ${to} cannot announce ${first?.address}`,
      `These can: ${first?.order.join(', ') || 'none'}.`,
    );
  const key = `penstock.io/${ANNOUNCE_FROM}`;
  const config = kubeconfig ?? process.env.KUBECONFIG ?? '';
  if (config === '') {
    print([
      back
        ? `take the annotation ${key} away from Service ${service}`
        : `give Service ${service} the annotation ${key}: ${to}`,
    ]);
    return 0;
  }
  const api = await openApiServer(
    { kubeconfig: config, master: '', userAgent: `penstock-lb/${packageVersion()}` },
    process.env,
  );
  try {
    const [namespace = '', name = ''] = service.split('/');
    const status = await api.send('PATCH', `/api/v1/namespaces/${namespace}/services/${name}`, {
      metadata: { annotations: { [key]: to ?? null } },
    });
    if (status >= 300)
      throw new PenstockError(
        'PENSTOCK_API_BROKEN',
        `the API server answered ${status} to the change of Service ${service}`,
        {
          remedy: 'The user of the kubeconfig needs patch on services.',
        },
      );
  } finally {
    await api.close();
  }
  print([
    back ? `${first?.address} goes back to whoever ranks first` : `${first?.address} moves to node ${to}`,
  ]);
  return 0;
}
