/**
 * core/v1 Endpoints as EndpointSlices, as the mirroring controller of Kubernetes makes them (KEP-0752): the slices of one
 * subset have its ports, and one address family each.
 */

import { objectName } from '../ApiObject.js';
import { parseObjectIp } from '../addresses.js';
import { SERVICE_LABEL } from '../EndpointSlice.js';
import { FieldReader, Findings, isRawObject, type RawObject } from './FieldReader.js';
import { readMetadata } from './readMetadata.js';
import { noteUnknownFields } from './unknownFields.js';

export function isEndpoints(raw: unknown, kind: unknown, apiVersion: unknown): raw is RawObject {
  return isRawObject(raw) && kind === 'Endpoints' && (apiVersion === 'v1' || apiVersion === undefined);
}

export interface EndpointsReading {
  /** `Endpoints shop/cart` */
  readonly subject: string;
  readonly faults: readonly string[];
  /** Raw. What is wrong with the subsets is left in them, for the parser of slices to find. */
  readonly slices: readonly RawObject[];
}

/** An address that is none counts as IPv4. */
export function endpointsAsSlices(raw: RawObject): EndpointsReading {
  const findings = new Findings();
  const root = new FieldReader(raw, findings);
  noteUnknownFields(raw, 'Endpoints', findings.warnings);
  const { name, namespace, fields } = readMetadata(root, 'Service');
  const subject = objectName({ kind: 'Endpoints', namespace, name: name || '(no name)' });
  const slices: RawObject[] = [];
  for (const [i, subset] of root.objects('subsets').entries()) {
    const endpoints = [
      ...addressesOf(subset, 'addresses', { ready: true }),
      ...addressesOf(subset, 'notReadyAddresses', { ready: false, serving: false }),
    ];
    for (const addressType of ['IPv4', 'IPv6'] as const) {
      const ofType = endpoints.filter(({ isIpv6 }) => isIpv6 === (addressType === 'IPv6'));
      if (ofType.length === 0 || name === '') continue;
      slices.push({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          ...fields.fields,
          name: `${name}-endpoints-${i}-${addressType.toLowerCase()}`,
          labels: { [SERVICE_LABEL]: name },
        },
        addressType,
        ports: subset.fields.ports,
        endpoints: ofType.map(({ endpoint }) => endpoint),
      });
    }
  }
  return { subject, faults: [...findings.faults.sentences(), ...findings.warnings.sentences()], slices };
}

interface Address {
  readonly isIpv6: boolean;
  readonly endpoint: RawObject;
}

function addressesOf(subset: FieldReader, name: string, conditions: RawObject): readonly Address[] {
  return subset.objects(name).map(({ fields: { ip, nodeName } }) => ({
    isIpv6: typeof ip === 'string' && (parseObjectIp(ip)?.includes(':') ?? false),
    endpoint: { addresses: [ip], conditions, nodeName },
  }));
}
