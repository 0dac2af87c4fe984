/** An explanation for a person. */
import type { ExplainedEndpoint, Explanation } from '../../explain/explain.js';
import { endText } from '../../explain/reasons.js';
import { type IpAddress, joinHostPort } from '../../net/ip.js';
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
    ...endpointLines(e.candidates),
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

function endpointLines(candidates: readonly ExplainedEndpoint[]): string[] {
  if (candidates.length === 0) return [];
  const sorted = [...candidates].sort((a, b) => Number(b.gets) - Number(a.gets));
  const rows = sorted
    .slice(0, SHOWN)
    .map((c) => [c.endpoint, c.pod || '-', c.node || '-', c.gets ? share(c.share) : c.out]);
  const columns = [
    { title: 'ENDPOINT' },
    { title: 'POD', shrinks: true },
    { title: 'NODE', shrinks: true },
    { title: 'GETS', shrinks: true },
  ];
  const rest = candidates.length - SHOWN;
  return ['', ...table(columns, rows, '  '), ...(rest > 0 ? [`  and ${rest} more`] : [])];
}

function share(part: number): string {
  return `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
}
