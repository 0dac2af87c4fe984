/** What may be served before everything has been read. */
import type { ServicePort } from '../../../routing/ServicePort.js';
import { serviceOf } from './portions.js';

/** Service ports of Services all of whose ports have endpoints: nobody is refused who may be served, or woken, a moment later. */
export function earlyPorts(ports: Iterable<ServicePort>): readonly ServicePort[] {
  const all = [...ports];
  const without = new Set(all.filter(({ endpoints }) => endpoints.reachable.length === 0).map(serviceOf));
  return all.filter((port) => !without.has(serviceOf(port)));
}
