/**
 * What service ports counted, as metrics: a series each for the first so many of them, one for all others together.
 * Values are looked up when somebody asks.
 */
import type { ServicePort } from '../routing/ServicePort.js';
import { metricText, type Series } from './metricText.js';

/** What the kernel counted for a service port since it is there. */
export interface CountedServicePort {
  readonly servicePort: Pick<ServicePort, 'key' | 'family' | 'namespace' | 'service' | 'port' | 'protocol'>;
  readonly connections: number;
  /** Of the first packets of the connections. */
  readonly bytes: number;
}

export interface ServiceMetricsOptions {
  /** How many service ports get series of their own. 0: there are no metrics of service ports. */
  readonly limit: number;
  /** All service ports in a lasting order; undefined when that is not known at present. */
  readonly read: () => Promise<readonly CountedServicePort[] | undefined>;
}

interface Counts {
  readonly connections: number;
  readonly bytes: number;
}

interface Row extends Counts {
  readonly labels: Series['labels'];
}

const CONNECTIONS = {
  name: 'penstock_service_port_connections_total',
  help: 'Connections to a service port that were begun on this node or came to it, refused ones included.',
  type: 'counter',
} as const;
const BYTES = {
  name: 'penstock_service_port_first_packet_bytes_total',
  help: 'Bytes of the first packets of these connections.',
  type: 'counter',
} as const;

const OTHERS = { namespace: '', service: '(others)', port: '', protocol: '', ip_family: '' };

export class ServiceMetrics {
  readonly #options: ServiceMetricsOptions;
  /** Who has a series keeps it, so that none ends because another service port came. By id(). */
  readonly #named = new Set<string>();
  /** What each of the others had counted when it was last looked at. By id(). */
  #seen = new Map<string, Counts>();
  /** A sum that does not fall when one of the others goes: of what was added since the last time. */
  #others: Counts = { connections: 0, bytes: 0 };

  constructor(options: ServiceMetricsOptions) {
    this.#options = options;
  }

  /** In Prometheus' text format; empty when there is nothing to tell. Rejects as `read` does. */
  async text(): Promise<string> {
    if (this.#options.limit === 0) return '';
    const counted = await this.#options.read();
    if (counted === undefined) return '';
    this.#choose(counted);
    const rows: Row[] = [];
    const others: CountedServicePort[] = [];
    for (const each of counted) {
      if (this.#named.has(id(each))) rows.push({ ...each, labels: labelsOf(each) });
      else others.push(each);
    }
    this.#addOthers(others);
    if (others.length > 0 || this.#others.connections > 0) rows.push({ ...this.#others, labels: OTHERS });
    const series = (value: keyof Counts) => rows.map((row) => ({ labels: row.labels, value: row[value] }));
    return metricText(CONNECTIONS, series('connections')) + metricText(BYTES, series('bytes'));
  }

  #choose(counted: readonly CountedServicePort[]): void {
    const present = new Set(counted.map(id));
    for (const each of this.#named) if (!present.has(each)) this.#named.delete(each);
    for (const each of present) {
      if (this.#named.size >= this.#options.limit) break;
      this.#named.add(each);
    }
  }

  #addOthers(others: readonly CountedServicePort[]): void {
    const seen = new Map<string, Counts>();
    let { connections, bytes } = this.#others;
    for (const each of others) {
      const before = this.#seen.get(id(each));
      connections += growth(before?.connections, each.connections);
      bytes += growth(before?.bytes, each.bytes);
      seen.set(id(each), { connections: each.connections, bytes: each.bytes });
    }
    this.#seen = seen;
    this.#others = { connections, bytes };
  }
}

/** A count that fell began anew, as in Prometheus' own increase(). */
function growth(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before;
}

function id({ servicePort: { family, key } }: CountedServicePort): string {
  return `${family} ${key}`;
}

function labelsOf({ servicePort }: CountedServicePort): Series['labels'] {
  const { namespace, service, port, protocol, family } = servicePort;
  return { namespace, service, port: String(port), protocol, ip_family: family };
}
