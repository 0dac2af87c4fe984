/** The cluster IPs of a Service, by family. */
import { familyOf, type IpAddress, type IpFamily } from '../../net/ip.js';
import { neverServed, parseObjectIp } from '../addresses.js';
import type { ServiceType } from '../Service.js';
import type { FieldReader } from './FieldReader.js';

interface ClusterIPs {
  /** There is to be no cluster IP: clients resolve the endpoints themselves. */
  readonly headless: boolean;
  readonly clusterIPs: Readonly<Partial<Record<IpFamily, IpAddress>>>;
}

const NONE: ClusterIPs['clusterIPs'] = {};

/**
 * The API server keeps clusterIP equal to clusterIPs[0] and ipFamilies parallel to clusterIPs. Manifests often have
 * only clusterIP, and then the address says what its family is. `families`: spec.ipFamilies.
 */
export function readClusterIPs(
  spec: FieldReader,
  type: ServiceType,
  families: readonly IpFamily[],
): ClusterIPs {
  const single = spec.text('clusterIP');
  const list = spec.texts('clusterIPs');
  if (type === 'ExternalName') return { headless: false, clusterIPs: NONE };
  const first = single || (list[0] ?? '');
  if (first === 'None') return { headless: true, clusterIPs: NONE };
  if (first === '' && list.length < 2) return { headless: false, clusterIPs: NONE };

  const found: Partial<Record<IpFamily, IpAddress>> = {};
  const texts = list.length > 0 ? list : [single];
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i] ?? '';
    const field = list.length > 0 ? `clusterIPs[${i}]` : 'clusterIP';
    const ip = text === '' ? undefined : readAddress(spec, field, text);
    if (ip === undefined) continue;
    const family = familyOf(ip);
    const wanted = families[i];
    if (wanted !== undefined && wanted !== family)
      spec.fault(field, `of the family that ipFamilies[${i}] names, ${wanted}`, text);
    else if (found[family] !== undefined) spec.fault(field, 'the only address of its family', text);
    else found[family] = ip;
  }
  if (single !== '' && list.length > 0 && parseObjectIp(single) !== parseObjectIp(list[0] ?? ''))
    spec.fault('clusterIP', 'equal to clusterIPs[0]');
  return { headless: false, clusterIPs: found };
}

function readAddress(spec: FieldReader, field: string, text: string): IpAddress | undefined {
  const ip = parseObjectIp(text);
  const bad = ip === undefined ? undefined : neverServed(ip, spec.findings.reservedAddresses);
  if (ip !== undefined && bad === undefined) return ip;
  spec.fault(field, bad === undefined ? 'an IP address' : `an address that can be served, not ${bad}`, text);
  return undefined;
}
