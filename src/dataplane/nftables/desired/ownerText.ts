/** A service port's name as part of a chain's name. */
import { createHash } from 'node:crypto';
import type { ServicePort } from '../../../routing/ServicePort.js';

/** A chain name has at most 127 characters (NFT_CHAIN_MAXNAMELEN); this leaves room for the words before it. */
const MAX_LENGTH = 70;
const HASH_LENGTH = 10;

/** `default/web/tcp/http`; a long one is cut and ends in a hash of the whole. */
export function ownerText({ namespace, service, protocol, portName }: ServicePort): string {
  const text = `${namespace}/${service}/${protocol.toLowerCase()}${portName === '' ? '' : `/${portName}`}`;
  if (text.length <= MAX_LENGTH) return text;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, HASH_LENGTH);
  return `${text.slice(0, MAX_LENGTH - HASH_LENGTH - 1)}-${hash}`;
}
