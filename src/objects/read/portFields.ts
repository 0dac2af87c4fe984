/** What the ports of Services and of EndpointSlices have in common. */

import { isLabelName, LABEL_FORM } from '../names.js';
import type { Protocol } from '../Service.js';
import type { FieldReader } from './FieldReader.js';

const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

export function readProtocol(port: FieldReader): Protocol {
  return port.choice('protocol', PROTOCOLS, 'TCP');
}

/** '' when the port has no name. */
export function readPortName(port: FieldReader): string {
  const name = port.text('name');
  if (name === '' || isLabelName(name)) return name;
  port.fault('name', LABEL_FORM);
  return '';
}
