/** One set of objects, two modes: every kind of client asks every place in both. Pure. */
import { decide, destinations } from '../explain/decide.js';
import type { Rules, World } from '../explain/World.js';
import { IP_FAMILIES, joinHostPort } from '../net/ip.js';
import {
  type Answer,
  answerOf,
  type Comparison,
  type Difference,
  ENDINGS,
  sameAnswer,
} from './compareRules.js';
import { PlaceIndex } from './PlaceIndex.js';
import { type Question, questionsOf } from './Question.js';

/** In the differences `ours` is what the first mode does, `theirs` what the second does. */
export function compareModes(world: World, first: Rules, second: Rules): Comparison {
  const index = new PlaceIndex(world);
  const differences: Difference[] = [];
  const questions = new Map<string, Question>();
  for (const rules of [first, second])
    for (const question of questionsOf(world, rules, IP_FAMILIES)) questions.set(keyOf(question), question);
  for (const question of questions.values()) {
    const near = index.worldFor(question.flow);
    const ours = answer(near, first, question);
    const theirs = answer(near, second, question);
    if (!sameAnswer(ours, theirs)) differences.push({ question, ours, theirs, meant: undefined });
  }
  return { asked: questions.size, differences };
}

function keyOf({ place, client, name }: Question): string {
  return `${name} ${place.protocol} ${joinHostPort(place.address, place.port)} ${client.kind}`;
}

function answer(world: World, rules: Rules, { flow }: Question): Answer {
  const decision = decide(world, rules, flow);
  const isSticky = decision.winner?.service.affinitySeconds !== undefined;
  return answerOf(ENDINGS[decision.verdict.type], destinations(world, decision, flow, rules), isSticky);
}

/** `10.1.0.1:8080, 10.1.0.2:8080 (sees the node)`, `refused`. */
export function answerText({ endpoints, masqueraded, sticky, otherwise }: Answer): string {
  const seen =
    masqueraded.length === 0
      ? 'sees the client'
      : masqueraded.length === endpoints.length
        ? 'sees the node'
        : `${masqueraded.join(', ')} sees the node`;
  const notes = sticky.length > 0 ? `${seen}, with affinity` : seen;
  const reached = endpoints.length > 0 ? [`${endpoints.join(', ')} (${notes})`] : [];
  return [...reached, ...otherwise].join(' or ');
}
