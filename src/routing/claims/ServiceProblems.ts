/** What is not served of each Service of a family, and why. Texts are made when they are asked for. */
import type { IpAddress } from '../../net/ip.js';
import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import type { ClusterIPs } from './ClusterIPs.js';
import type { Loss } from './servedAddresses.js';
import { RANK, type VipClaims } from './VipClaims.js';

/** Of one Service; and Services in all. Whoever reads more than that reads nothing. */
const SHOWN_LOSSES = 10;
const SHOWN_SERVICES = 200;

interface Entry {
  readonly losses: readonly Loss[];
  /** How many more there are. */
  readonly further: number;
  readonly remarks: readonly string[];
}

export class ServiceProblems {
  readonly #claims: VipClaims;
  readonly #clusterIPs: ClusterIPs;
  /** By `namespace/name`; only those that have some. */
  readonly #entries = new Map<string, Entry>();
  readonly #failures = new Map<string, string>();

  constructor(claims: VipClaims, clusterIPs: ClusterIPs) {
    this.#claims = claims;
    this.#clusterIPs = clusterIPs;
  }

  set(service: string, losses: readonly Loss[], remarks: readonly string[]): void {
    this.#failures.delete(service);
    if (losses.length === 0 && remarks.length === 0) this.#entries.delete(service);
    else {
      const shown = losses.slice(0, SHOWN_LOSSES);
      this.#entries.set(service, { losses: shown, further: losses.length - shown.length, remarks });
    }
  }

  failed(service: string, why: string): void {
    this.#failures.set(service, why);
  }

  clear(service: string): void {
    this.#entries.delete(service);
    this.#failures.delete(service);
  }

  /** Who has the ports of the address that the Service asked for and did not get. */
  lossesOf(service: string, address: IpAddress): readonly string[] {
    const losses = this.#entries.get(service)?.losses ?? [];
    return losses
      .filter(({ claim }) => claim.startsWith(`${address} `))
      .map((loss) => this.#lossText(service, loss));
  }

  *list(): Iterable<Problem> {
    for (const [service, why] of this.#failures)
      yield {
        subject: subjectOf(service),
        message: `cannot be routed, what was served of it stays: ${why} (this is a fault of penstock; please report it)`,
      };
    let left = SHOWN_SERVICES;
    for (const [service, { losses, further, remarks }] of this.#entries) {
      if (left-- === 0) break;
      const subject = subjectOf(service);
      for (const loss of losses) yield { subject, message: this.#lossText(service, loss) };
      if (further > 0)
        yield { subject, message: `${further} more of its addresses and ports belong to others` };
      for (const message of remarks) yield { subject, message };
    }
    const hidden = this.#entries.size - SHOWN_SERVICES;
    if (hidden > 0)
      yield {
        subject: 'Services',
        message: `${hidden} more Services are not served in full; the first ${SHOWN_SERVICES} are named`,
      };
  }

  #lossText(service: string, { claim, key, address }: Loss): string {
    if (key === undefined) {
      const holder = address && this.#clusterIPs.otherHolder(address, service);
      return `${claim} is not served: ${address} is the cluster IP of Service ${holder ?? '(gone)'}`;
    }
    const owner = this.#claims.owner(key);
    const winner =
      owner?.service === service ? 'another port of it' : `Service ${owner?.service ?? '(gone)'}`;
    const asWhat =
      owner?.rank === RANK.clusterIP ? ' as its cluster IP' : key === claim ? '' : ' as a node port';
    return `${claim} already belongs to ${winner}${asWhat}; this claim is ignored until that one goes`;
  }
}

function subjectOf(service: string): string {
  const [namespace = '', name = ''] = service.split('/');
  return objectName({ kind: 'Service', namespace, name });
}
