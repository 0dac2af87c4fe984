/**
 * Changes in the portions in which they are written: first all that are small, in one transaction, then the big ones, so
 * that no Service waits for another with many ports, endpoints or entries of maglev.
 */
import type { ServicePortChange } from '../../../routing/ChangeSet.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import { countElements, countIndexes } from '../desired/servicePortElements.js';

/** Elements of one service port, and of one portion of big ones: some 50 ms of work. */
const BIG = 16_384;

/** At least one portion, maybe empty. */
export function portions(changes: readonly ServicePortChange[]): readonly (readonly ServicePortChange[])[] {
  const small: ServicePortChange[] = [];
  const result: ServicePortChange[][] = [small];
  let room = 0;
  for (const change of changes) {
    const size = mayWait(change) ? sizeOf(change) : 0;
    if (size < BIG) {
      small.push(change);
      continue;
    }
    if (room < size) {
      result.push([]);
      room = BIG * 2;
    }
    room -= size;
    result.at(-1)?.push(change);
  }
  return result;
}

/** Whether the service port alone is a portion. */
export function isBig(port: ServicePort): boolean {
  return elementsOf(port) >= BIG;
}

/** Addresses and ports that it gives up may be another's now: deleted and added they must be in one transaction. */
function mayWait({ before, after }: ServicePortChange): boolean {
  return before === undefined || (after !== undefined && placesOf(before) === placesOf(after));
}

function placesOf({
  clusterIP,
  port,
  protocol,
  nodePort,
  externalIPs,
  loadBalancerIPs,
}: ServicePort): string {
  return [clusterIP, port, protocol, nodePort, ...externalIPs, '', ...loadBalancerIPs].join(' ');
}

function sizeOf({ before, after }: ServicePortChange): number {
  return (before ? elementsOf(before) : 0) + (after ? elementsOf(after) : 0);
}

function elementsOf(port: ServicePort): number {
  const { vips, nodePorts } = countElements(port, countIndexes(port));
  return vips + nodePorts;
}
