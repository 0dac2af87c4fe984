/** A networking.k8s.io/v1 ServiceCIDR, by the rules of the API server (pkg/apis/networking/validation). */
import { type Cidr, familyOf, parseCidr, prefixLength } from '../../net/ip.js';
import type { ServiceCIDR } from '../ServiceCIDR.js';
import type { FieldReader } from './FieldReader.js';
import type { Metadata } from './readMetadata.js';

export function parseServiceCIDR(root: FieldReader, metadata: Metadata): ServiceCIDR {
  return { kind: 'ServiceCIDR', name: metadata.name, cidrs: readCidrs(root.object('spec')) };
}

function readCidrs(spec: FieldReader): readonly Cidr[] {
  const texts = spec.texts('cidrs');
  if (spec.isEmpty('cidrs')) spec.fault('cidrs', 'a list of one CIDR, or of one of each IP family');
  const cidrs: Cidr[] = [];
  for (const [i, text] of texts.entries()) {
    const field = `cidrs[${i}]`;
    const range = parseCidr(text);
    if (range === undefined || range.startsWith('::ffff:'))
      spec.fault(field, 'a CIDR such as 10.96.0.0/12', text);
    // Traffic to addresses of the range that no Service has may be dropped; that must not be all traffic.
    else if (prefixLength(range) === 0) spec.fault(field, 'less than all addresses of its family', text);
    else if (cidrs.some((other) => familyOf(other) === familyOf(range)))
      spec.fault(field, 'the only CIDR of its IP family', text);
    else cidrs.push(range);
  }
  return cidrs;
}
