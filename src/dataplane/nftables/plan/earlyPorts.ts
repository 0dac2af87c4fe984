/** What may be served before everything has been read. */
import type { ServicePort } from '../../../routing/ServicePort.js';

/** Service ports of Services all of whose ports have endpoints: nobody is refused who may be served, or woken, a moment later. */
export function earlyPorts(ports: Iterable<ServicePort>): readonly ServicePort[] {
  const all = [...ports];
  const nameOf = ({ namespace, service }: ServicePort) => `${namespace}/${service}`;
  const without = new Set(all.filter(({ endpoints }) => endpoints.reachable.length === 0).map(nameOf));
  return all.filter((port) => !without.has(nameOf(port)));
}
