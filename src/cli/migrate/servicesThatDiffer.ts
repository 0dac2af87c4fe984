/** Services that clients find different once penstock serves them: by the rules in force now, and by what no rule shows. */
import { type Answer, compareRules, type Difference, ENDINGS } from '../../compare/compareRules.js';
import type { OtherRules } from '../../compare/readRules.js';
import type { Rules, World } from '../../explain/World.js';
import { joinHostPort } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { Remark } from './Remark.js';

export interface Compared {
  readonly world: World;
  /** Of penstock's mode. */
  readonly rules: Rules;
  readonly problems: readonly Problem[];
  readonly other: OtherRules | undefined;
}

export function servicesThatDiffer({ world, rules, problems, other }: Compared): Remark[] {
  return [
    ...(other === undefined ? [] : byRules(compareRules(world, rules, other).differences)),
    ...problems.map(({ subject, message }) => finding('attend', subject, message)),
    ...withAffinity(world, rules, other),
    ...withOptions(world),
  ];
}

function finding(level: Remark['level'], subject: string, text: string): Remark {
  return { section: 'services', level, subject, text };
}

/** One line for each place and pair of answers, with the clients that it holds for. */
function byRules(differences: readonly Difference[]): Remark[] {
  const blocks = new Map<string, { first: Difference; clients: string[] }>();
  for (const difference of differences) {
    const { question, ours, theirs, meant } = difference;
    // A Service that is in the rules and not among the objects: nothing that penstock would do differently.
    if (meant !== undefined && question.what === '') continue;
    const key = JSON.stringify([question.name, question.place, ours, theirs]);
    const block = blocks.get(key) ?? { first: difference, clients: [] };
    block.clients.push(question.client.kind);
    blocks.set(key, block);
  }
  return [...blocks.values()].map(({ first: { question, ours, theirs, meant }, clients }) => {
    const { place, name, what } = question;
    const where = `${what || 'address'} ${joinHostPort(place.address, place.port)}/${place.protocol}`;
    const who = [...new Set(clients)].join(', ');
    const why = meant === undefined ? '' : ` (${meant})`;
    const text = `${where}, for ${who}: now ${words(theirs)}, then ${words(ours)}${why}`;
    return finding(isWorse(ours, theirs) ? 'attend' : 'note', name, text);
  });
}

/** Somebody is reached now who would be reached no more, or by other clients only. */
function isWorse(ours: Answer, theirs: Answer): boolean {
  const isLost = theirs.endpoints.some((endpoint) => !ours.endpoints.includes(endpoint));
  const isHeld = ours.otherwise.every((ending) => ending === ENDINGS.hold);
  return isLost || (!isHeld && ours.otherwise.some((ending) => !theirs.otherwise.includes(ending)));
}

function words({ endpoints, otherwise, masqueraded, sticky }: Answer): string {
  if (endpoints.length === 0) return otherwise.join(', ') || 'nothing';
  const hidden = masqueraded.length > 0 ? ', which see an address of the node' : '';
  const back = sticky.length > 0 ? ', with session affinity' : '';
  return `${[...endpoints, ...otherwise].join(', ')}${hidden}${back}`;
}

function withAffinity(world: World, rules: Rules, other: OtherRules | undefined): Remark[] {
  if (other?.mode === 'iptables' && rules.mode === 'iptables') return [];
  return world.services
    .filter(({ affinitySeconds }) => affinitySeconds !== undefined)
    .map(({ namespace, name }) =>
      finding(
        'note',
        `${namespace}/${name}`,
        'session affinity: a client may get another endpoint with its first connection after the swap',
      ),
    );
}

function withOptions(world: World): Remark[] {
  return world.services.flatMap(({ namespace, name, options }) => {
    const set = Object.keys(options).sort();
    return set.length === 0
      ? []
      : [finding('note', `${namespace}/${name}`, `annotations of penstock take effect: ${set.join(', ')}`)];
  });
}
