/** The Lease of a node (coordination.k8s.io/v1): what it says of the node is in annotations. */
import { type Cidr, parseCidr, parseIp } from '../../net/ip.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import { ADVERTISING_ROLES, type AdvertisingRole, type Member } from './Member.js';

/** Selects the Leases of this program among those of others. */
export const LEASE_LABEL = { key: 'penstock.io/component', value: 'balancer' } as const;

const PREFIX = 'penstock.io/';
/** As in RFC 1123, and the longest name that an object may have. */
const LONGEST_NAME = 253;
/** So many of each are read; more is no honest node. */
const MOST = 64;

export interface LeaseRead {
  readonly member: Omit<Member, 'fresh'>;
  readonly version: string;
}

/** `penstock-balancer.node1` */
export function leaseName(node: string): string {
  return `penstock-balancer.${node}`.slice(0, LONGEST_NAME);
}

export interface LeaseWriting {
  readonly node: string;
  readonly namespace: string;
  readonly facts: Omit<Member, 'name' | 'fresh'>;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly seconds: number;
}

/** The whole object: body of a POST, and as merge patch of a PATCH. */
export function writeLease({ node, namespace, facts, now, seconds }: LeaseWriting): object {
  const { address, addresses = [], macs, subnets, advertises, deaf } = facts;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: leaseName(node),
      namespace,
      labels: { [LEASE_LABEL.key]: LEASE_LABEL.value },
      annotations: {
        [`${PREFIX}address`]: address ?? '',
        [`${PREFIX}addresses`]: addresses.join(','),
        [`${PREFIX}macs`]: macs.map((mac) => Buffer.from(mac).toString('hex')).join(','),
        [`${PREFIX}subnets`]: subnets.join(','),
        [`${PREFIX}advertises`]:
          advertises === undefined ? '*' : JSON.stringify(Object.fromEntries(advertises)),
        // Null takes it away: this is a merge patch.
        [`${PREFIX}deaf`]: deaf ? 'true' : null,
      },
    },
    spec: {
      holderIdentity: node,
      leaseDurationSeconds: seconds,
      renewTime: new Date(now).toISOString().replace('Z', '000Z'),
    },
  };
}

/** Undefined for what is no Lease of a node. What cannot be read in it is left out. */
export function readLease(raw: unknown): LeaseRead | undefined {
  if (!isRawObject(raw) || !isRawObject(raw.metadata) || !isRawObject(raw.spec)) return undefined;
  const { resourceVersion, annotations } = raw.metadata;
  const node = raw.spec.holderIdentity;
  // A node whose name has no such Lease has written into another's.
  if (typeof node !== 'string' || node === '' || raw.metadata.name !== leaseName(node)) return undefined;
  const text = (name: string) => {
    const value = isRawObject(annotations) ? annotations[PREFIX + name] : undefined;
    return typeof value === 'string' ? value : '';
  };
  const list = (name: string) => text(name).split(',', MOST).filter(Boolean);
  return {
    version: typeof resourceVersion === 'string' ? resourceVersion : '',
    member: {
      name: node,
      address: parseIp(text('address')),
      ...readAddresses(list('addresses')),
      macs: list('macs')
        .filter((mac) => /^[0-9a-f]{12}$/.test(mac))
        .map((mac) => new Uint8Array(Buffer.from(mac, 'hex'))),
      subnets: list('subnets')
        .map(parseCidr)
        .filter((subnet): subnet is Cidr => subnet !== undefined),
      advertises: readAdvertises(text('advertises')),
      ...(text('deaf') === 'true' ? { deaf: true } : {}),
    },
  };
}

function readAddresses(texts: readonly string[]): Pick<Member, 'addresses'> {
  const addresses = texts.flatMap((text) => parseIp(text) ?? []);
  return addresses.length === 0 ? {} : { addresses };
}

function readAdvertises(text: string): Member['advertises'] {
  if (text === '*') return undefined;
  const roles = new Map<string, AdvertisingRole>();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return roles;
  }
  if (!isRawObject(value)) return roles;
  for (const [name, text] of Object.entries(value)) {
    const role = ADVERTISING_ROLES.find((each) => each === text);
    if (role !== undefined) roles.set(name, role);
  }
  return roles;
}

/** What to do about a status of the API server. */
export function refusal(status: number): string {
  const answer = `the API server answered ${status} to the Lease of this node`;
  return status === 403
    ? `${answer}; give the account create, patch, list and watch on leases of coordination.k8s.io (deploy/balancer)`
    : answer;
}
