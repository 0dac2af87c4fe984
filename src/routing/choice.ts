/**
 * Who of a service port's endpoints a packet's mark names, where connections are chosen for outside of the rules
 * (docs/first-packet.md): the place among all endpoints that can be reached, from 1.
 */
import { counts } from '../balancing/Balancing.js';
import type { Endpoint, ServicePort } from './ServicePort.js';

/** Bits that no part of Kubernetes and no common network plugin uses. */
export const CHOICE_SHIFT = 21;
export const CHOICE_MASK = 0x7fe0_0000;
/** Endpoints that have a number. */
const MOST_NUMBERS = CHOICE_MASK >>> CHOICE_SHIFT;

/** Whether the connections of a service port are chosen for: its algorithm counts, and there is something to choose. */
/** `count` queues of nfnetlink_queue whose numbers follow each other. */
export function queueWords(first: number, count = 1): string {
  return count === 1 ? `queue ${first}` : `queues ${first} to ${first + count - 1}`;
}

export function isChosenFor({ balancing, endpoints }: Pick<ServicePort, 'balancing' | 'endpoints'>): boolean {
  const { length } = endpoints.reachable;
  return counts(balancing.algorithm) && length > 1 && length <= MOST_NUMBERS;
}

/** Endpoint → what the mark of a packet is, masked, that is for this endpoint. */
export function choiceMarks({ endpoints }: Pick<ServicePort, 'endpoints'>): ReadonlyMap<Endpoint, number> {
  return new Map(endpoints.reachable.map((endpoint, i) => [endpoint, (i + 1) << CHOICE_SHIFT]));
}
