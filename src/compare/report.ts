/** A comparison in words for a person: one block a place and pair of answers, with the clients that it holds for. */
import { append } from '../append.js';
import { joinHostPort } from '../net/ip.js';
import { printable } from '../net/printable.js';
import {
  type Answer,
  type Comparison,
  type Difference,
  type OtherProxy,
  sameShares,
} from './compareRules.js';

interface Block {
  readonly title: string;
  readonly ours: Answer;
  readonly theirs: Answer;
  readonly clients: string[];
  readonly meant: string | undefined;
}

export function reportText({ asked, differences }: Comparison, other: Pick<OtherProxy, 'title'>): string {
  const real = differences.filter(({ meant }) => meant === undefined);
  const lines: string[] = [];
  for (const block of blocksOf(real)) {
    append(lines, blockLines(block));
    lines.push('');
  }
  const meant = blocksOf(differences.filter((d) => d.meant !== undefined));
  if (meant.length > 0) lines.push('Not counted:');
  for (const { title, meant: why } of meant) lines.push(`  ${title}: ${why}`);
  if (meant.length > 0) lines.push('');
  const places = new Set(real.map(({ question }) => titleOf({ question }))).size;
  lines.push(
    real.length === 0
      ? `equal: ${asked} questions, the same answers from penstock and from ${other.title}`
      : `different: ${real.length} of ${asked} questions, at ${places} ${places === 1 ? 'place' : 'places'}`,
  );
  return `${lines.join('\n')}\n`;
}

export function reportJson(comparison: Comparison, other: Pick<OtherProxy, 'title' | 'mode'>): string {
  const real = comparison.differences.filter(({ meant }) => meant === undefined);
  const plain = ({ question, ours, theirs, meant }: Difference) => ({
    service: question.name,
    address: question.place.address,
    port: question.place.port,
    protocol: question.place.protocol,
    kind: question.what === '' ? 'unknown' : question.what,
    client: question.client.kind,
    source: question.client.source,
    expected: ours,
    found: theirs,
    ...changeOf(ours, theirs),
    ...(meant === undefined ? {} : { meant }),
  });
  return `${JSON.stringify(
    {
      equal: real.length === 0,
      other: other.title,
      mode: other.mode,
      asked: comparison.asked,
      differences: real.map(plain),
      meant: comparison.differences.filter(({ meant }) => meant !== undefined).map(plain),
    },
    null,
    2,
  )}\n`;
}

function changeOf(ours: Answer, theirs: Answer) {
  return {
    missing: ours.endpoints.filter((endpoint) => !theirs.endpoints.includes(endpoint)),
    extra: theirs.endpoints.filter((endpoint) => !ours.endpoints.includes(endpoint)),
  };
}

function titleOf({ question }: Pick<Difference, 'question'>): string {
  const { name, place, what } = question;
  const kind = what === '' ? 'no Service has it' : what;
  return `${printable(name)} (${kind} ${joinHostPort(place.address, place.port)}/${place.protocol.toLowerCase()})`;
}

function blocksOf(differences: readonly Difference[]): readonly Block[] {
  const blocks = new Map<string, Block>();
  for (const difference of differences) {
    const { ours, theirs, meant, question } = difference;
    const title = titleOf(difference);
    const key = JSON.stringify([title, meant ?? changeLines(ours, theirs)]);
    const block = blocks.get(key) ?? { title, ours, theirs, clients: [], meant };
    block.clients.push(question.client.kind);
    blocks.set(key, block);
  }
  return [...blocks.values()];
}

function blockLines({ title, ours, theirs, clients }: Block): string[] {
  return [title, `  clients: ${clients.join(', ')}`, ...changeLines(ours, theirs)];
}

function changeLines(ours: Answer, theirs: Answer): string[] {
  const { missing, extra } = changeOf(ours, theirs);
  const lines: string[] = [];
  if (missing.length > 0) lines.push(`  missing in the rules: ${missing.join(', ')}`);
  if (extra.length > 0) lines.push(`  only in the rules: ${extra.join(', ')}`);
  const endings = [ours.otherwise.join(' or '), theirs.otherwise.join(' or ')];
  if (endings[0] !== endings[1]) {
    lines.push(`  without an endpoint: ${endings[0] || 'never'} expected, ${endings[1] || 'never'} found`);
  }
  const both = ours.endpoints.filter((endpoint) => theirs.endpoints.includes(endpoint));
  const seesNode = (answer: Answer, other: Answer) =>
    both.filter((endpoint) => answer.masqueraded.includes(endpoint) && !other.masqueraded.includes(endpoint));
  for (const [wanted, endpoints] of [
    ["the node's address expected, the client's found", seesNode(ours, theirs)],
    ["the client's address expected, the node's found", seesNode(theirs, ours)],
  ] as const) {
    if (endpoints.length > 0) lines.push(`  source seen: ${wanted}: ${endpoints.join(', ')}`);
  }
  const sticky = both.filter(
    (endpoint) => ours.sticky.includes(endpoint) !== theirs.sticky.includes(endpoint),
  );
  if (sticky.length > 0) {
    const isMissing = sticky.every((endpoint) => ours.sticky.includes(endpoint));
    lines.push(`  session affinity ${isMissing ? 'missing in' : 'only in'} the rules: ${sticky.join(', ')}`);
  }
  if (missing.length + extra.length === 0 && !sameShares(ours, theirs)) {
    const text = ({ shares = [] }: Answer) => shares.map((share) => `${Math.round(share)} %`).join(', ');
    lines.push(
      `  shares: penstock ${text(ours)}; the other ${text(theirs)}; of ${ours.endpoints.join(', ')}`,
    );
  }
  return lines;
}
