/** Which VIPs and node ports of a service port nobody serves, or not everybody: as elements of the sets that failures.ts looks up. */
import { ipKey, portKey, protocolKey } from '../../kernel/nftables/dataTypes.js';
import { PROTOCOL_NUMBER } from '../../kernel/nftables/statements.js';
import type { IpAddress } from '../../net/ip.js';
import { externalVerdict, internalVerdict, type ServicePort } from '../../routing/ServicePort.js';
import { cidrRange, withoutContained } from '../family/cidrRanges.js';
import { type FailureSet, type FailureSettings, knows } from './failureSets.js';

const PROTOCOL = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

type FailureElement = readonly [set: FailureSet, key: string];

/** In the sets that the mode has. */
export function failureElements(
  port: ServicePort,
  settings: Pick<FailureSettings, 'mode'>,
): FailureElement[] {
  const found: FailureElement[] = [];
  const put = (set: FailureSet, key: string) => {
    if (knows(settings, set)) found.push([set, key]);
  };
  const end = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]) + portKey(port.port);
  const { clusterIP, nodePort } = port;
  const add = (vip: IpAddress) => {
    put('vips', ipKey(vip));
    put('places', ipKey(vip) + end);
    return ipKey(vip) + end;
  };
  if (clusterIP !== undefined) {
    const key = add(clusterIP);
    const verdict = internalVerdict(port);
    if (verdict === 'reject') put('refused', key);
    if (verdict === 'drop') put('dropped', key);
  }
  const outside = externalVerdict(port);
  const restricted = port.sourceRanges.length > 0 && port.endpoints.any;
  for (const vip of new Set([...port.externalIPs, ...port.loadBalancerIPs])) {
    if (vip === clusterIP) continue;
    const key = add(vip);
    if (outside === 'reject') put('refused-outside', key);
    if (outside === 'drop') put('dropped-outside', key);
    if (!restricted || !port.loadBalancerIPs.includes(vip)) continue;
    put('restricted', key);
    for (const cidr of withoutContained(port.sourceRanges)) {
      const { first, last } = cidrRange(cidr);
      put('source-ranges', key + first + key + last);
    }
  }
  if (nodePort === 0) return found;
  const key = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]) + portKey(nodePort);
  if (outside === 'reject') put('refused-node-ports', key);
  if (outside === 'drop') put('dropped-node-ports', key);
  return found;
}
