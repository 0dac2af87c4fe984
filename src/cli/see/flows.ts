/** penstock flows: connections that failed, by name and reason; with -f as they happen. */
import { openUnanswered } from '../../agent/servers/openUnanswered.js';
import { messageOf, PenstockError } from '../../errors.js';
import { REASONS } from '../../explain/reasons.js';
import { Nflog } from '../../kernel/nflog/Nflog.js';
import { type IpAddress, joinHostPort } from '../../net/ip.js';
import { nearestName } from '../../net/nearestName.js';
import { printable, printableJson } from '../../net/printable.js';
import { FlowLog, type FlowRecord } from '../../observe/flows/FlowLog.js';
import { ServiceNames } from '../../observe/flows/ServiceNames.js';
import { systemClock } from '../../time/Clock.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { look } from './look.js';
import { MODEL_FLAGS } from './modelFlags.js';
import { colour, formatOf, OUTPUT_FLAG, print, WIDTH, wrap } from './output.js';
import type { Model } from './readModel.js';
import { isOfService } from './traffic/trafficNames.js';

export const HELP = `penstock flows [-f] [--service NAMESPACE/NAME] [--reason REASON] [-o json]

Lists connections that were refused or dropped: when, who, which Service, why,
and below the first of each reason what to do.
With -f it goes on as they happen. JSON is one record a line. When no agent
runs, the kernel is asked itself.

  -f, --follow           go on until interrupted
  --service NS/NAME      only those to this Service
  --reason REASON        only those for this reason

Exit status: 0; 2 could not look.
`;

export async function flows(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, {
    options: {
      ...OUTPUT_FLAG,
      ...MODEL_FLAGS,
      follow: { type: 'boolean', short: 'f' },
      service: { type: 'string' },
      reason: { type: 'string' },
    },
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const { service, reason } = values;
  checkReason(reason);
  const show =
    formatOf(values.output) === 'json'
      ? (record: FlowRecord) => [printableJson(JSON.stringify(record))]
      : withMeanings();
  const take = (record: FlowRecord) => {
    const isAsked =
      isOfService(record.service, service ?? '') && (reason === undefined || record.reason === reason);
    if (isAsked) print(show(record));
  };
  const found = await look(values);
  if (found.from === 'agent') {
    if (!values.follow) for (const record of await found.agent.list<FlowRecord>('/v1/flows')) take(record);
    else await found.agent.follow('/v1/flows', (value) => take(value as FlowRecord));
    return 0;
  }
  if (!values.follow)
    throw new PenstockError('PENSTOCK_NO_AGENT', 'no agent runs that would remember what failed', {
      remedy: 'penstock flows -f asks the kernel itself from now on.',
    });
  await followKernel(found.model, take);
  return 0;
}

function checkReason(reason: string | undefined): void {
  const known = Object.keys(REASONS);
  if (reason === undefined || known.includes(reason)) return;
  const near = nearestName(reason, known);
  throw new WrongCall(
    `there is no reason ${JSON.stringify(reason)}`,
    near === undefined ? `There are ${known.join(', ')}.` : `Did you mean ${near}?`,
  );
}

/** Rules outlive their agent, and go on telling. */
async function followKernel(model: Model, take: (record: FlowRecord) => void): Promise<void> {
  const names = new ServiceNames(model.table, systemClock.now);
  const log = new FlowLog({
    node: model.world.nodeName,
    names: (packet) => names.of(packet),
    clock: systemClock,
    date: () => systemClock.date(),
  });
  const stopFollowing = log.follow(take);
  const reader = await Nflog.open(({ words, ...packet }) => log.add({ reason: words, ...packet })).catch(
    (error: unknown) => {
      throw new PenstockError(
        'PENSTOCK_NOT_PRIVILEGED',
        `the kernel's log cannot be read: ${messageOf(error)}`,
        {
          remedy: 'Run it as root, in the network namespace of the node.',
        },
      );
    },
  );
  const stop = openUnanswered({
    mode: model.config.mode || 'nftables',
    clock: systemClock,
    take: (packet) => {
      if (names.of(packet).service !== '') log.add(packet);
    },
    warn: (text) => process.stderr.write(`${text}\n`),
  });
  await new Promise<void>((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve));
  stop();
  stopFollowing();
  reader.close();
}

/** The first line of each reason is followed by what that means and what to do. */
function withMeanings(): (record: FlowRecord) => string[] {
  const told = new Set<string>();
  return (record) => {
    const { reason } = record;
    const meaning = Object.hasOwn(REASONS, reason) ? REASONS[reason as keyof typeof REASONS] : undefined;
    if (meaning === undefined || told.has(reason)) return [lineOf(record)];
    told.add(reason);
    const text = `${meaning.says}. ${meaning.remedy}`.trim();
    return [lineOf(record), ...wrap(text, WIDTH - INDENT.length).map((line) => `${INDENT}${line}`)];
  };
}

const INDENT = ' '.repeat(14);

function lineOf(record: FlowRecord): string {
  const { time, reason, client, clientPod, service, destination, port, protocol, count } = record;
  const endpoint = record.endpointPod || record.endpoint;
  const to = joinHostPort(destination as IpAddress, port);
  const who = clientPod || client;
  const what = service === '' ? `${to}/${protocol}` : `${service} (${to}/${protocol})`;
  const times = count > 1 ? `  ×${count}` : '';
  return `${printable(time.slice(11, 23))}  ${colour('red', reason)}  ${printable(`${who} → ${what}${endpoint && ` at ${endpoint}`}`)}${times}`;
}
