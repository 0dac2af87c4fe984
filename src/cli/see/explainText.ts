/** An explanation for a person. */
import type { ExplainedEndpoint, Explanation } from '../../explain/explain.js';
import { endText } from '../../explain/reasons.js';
import { type IpAddress, joinHostPort } from '../../net/ip.js';
import { queueWords } from '../../routing/choice.js';
import { colour, field, table, WIDTH, wrap } from './output.js';

/** Endpoints beyond this number are counted, not listed. */
const SHOWN = 20;

export function explanationText(e: Explanation): string[] {
  const { client, destination } = e;
  const to = `${joinHostPort(destination.address as IpAddress, destination.port)}/${destination.protocol}`;
  const who =
    client.name === '' ? `${client.is} ${client.address}` : `${client.is} ${client.name} (${client.address})`;
  const good = e.isProblem ? 'red' : 'green';
  const isForwarded = e.reason === 'forwarded';
  return [
    ...wrap(`${who} → ${e.servicePort ?? e.service ?? destination.is} ${to}`, WIDTH),
    ...wrap(`${endText(e)} [${e.reason}]`, WIDTH).map((line) => colour(good, line)),
    '',
    ...(isForwarded ? [] : field('because', e.because)),
    ...e.notes.flatMap((note, i) => field(i === 0 ? 'note' : '', note)),
    ...(e.remedy === '' ? [] : field('to do', e.remedy)),
    ...serviceLines(e),
    ...(isForwarded
      ? [
          ...field('masquerade', `${e.masquerade ? 'yes' : 'no'}: ${e.masqueradeBecause}`),
          ...field('source seen', e.seenSource),
        ]
      : []),
    ...field('seen from', `node ${e.node}, mode ${e.mode}`),
    ...endpointLines(e),
  ];
}

function serviceLines(e: Explanation): string[] {
  if (e.service === null) return [];
  return [
    ...field('Service', `${e.servicePort ?? e.service}, by its ${e.destination.is}`),
    ...e.losers.flatMap((loser, i) =>
      field(i === 0 ? 'lost by' : '', `${loser.servicePort} (${loser.as}): ${loser.because}`),
    ),
    ...(e.policy === null ? [] : field('policy', e.policy)),
    ...(e.topology === 'none' ? [] : field('topology', `endpoints hinted for this ${e.topology}`)),
    ...(e.algorithm === null ? [] : field('balancing', algorithmText(e))),
    ...(e.affinitySeconds === null
      ? []
      : field(
          'affinity',
          `a client stays with its endpoint for ${e.affinitySeconds} s after its last connection`,
        )),
    ...(e.sourceRanges.length === 0
      ? []
      : field(
          'sources',
          `${e.sourceRanges.join(', ')}: ${e.clientInSourceRanges ? 'contain' : 'do not contain'} the client`,
        )),
  ];
}

function endpointLines({ candidates, choice }: Explanation): string[] {
  if (candidates.length === 0) return [];
  const sorted = [...candidates].sort((a, b) => Number(b.gets) - Number(a.gets));
  const rows = sorted
    .slice(0, SHOWN)
    .map((c) => [c.endpoint, c.pod || '-', c.node || '-', ...openOf(c, choice), getsOf(c, choice)]);
  const columns = [
    { title: 'ENDPOINT' },
    { title: 'POD', shrinks: true },
    { title: 'NODE', shrinks: true },
    ...(choice ? [{ title: 'OPEN' }] : []),
    { title: 'GETS', shrinks: true },
  ];
  const rest = candidates.length - SHOWN;
  return ['', ...table(columns, rows, '  '), ...(rest > 0 ? [`  and ${rest} more`] : [])];
}

/** Connections that count; none for one that nobody chooses for. */
function openOf({ endpoint }: ExplainedEndpoint, choice: Explanation['choice']): string[] {
  return choice ? [String(choice.endpoints[endpoint]?.connections ?? '-')] : [];
}

/** Where somebody counts, no endpoint has a share. */
function getsOf(
  { endpoint, gets, share: part, out }: ExplainedEndpoint,
  choice: Explanation['choice'],
): string {
  if (!gets) return out;
  const counted = choice?.endpoints[endpoint];
  if (counted === undefined) return share(part);
  return counted.isAway ? 'nothing for now: it did not answer' : `by count, chosen ${counted.chosen} times`;
}

function algorithmText({ algorithm, choice, mode }: Explanation): string {
  const isCounting = algorithm === 'least-connections' || algorithm === 'power-of-two';
  if (!isCounting || mode === 'userspace') return algorithm === 'random' ? 'by lot' : `${algorithm}`;
  return choice
    ? `${algorithm}: an agent chooses for each first packet, ${queueWords(choice.queue, choice.queues)}`
    : `${algorithm}, where an agent chooses for first packets; by lot where none does`;
}

function share(part: number): string {
  return `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
}
