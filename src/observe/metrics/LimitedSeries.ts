/** Service ports as series of metrics: one each for the first so many of them, one for all others together; the first endpoints of these. */
import type { ServicePort } from '../../routing/ServicePort.js';
import type { Series } from './metricText.js';
import { WorkTurns } from './WorkTurns.js';

export interface OfServicePort {
  readonly servicePort: Pick<ServicePort, 'key' | 'family' | 'namespace' | 'service' | 'port' | 'protocol'>;
}

type Counts<Count extends string> = Readonly<Record<Count, number>>;

export interface Shares<Each> {
  readonly named: readonly Each[];
  readonly others: readonly Each[];
}

export const OTHERS: Series['labels'] = {
  namespace: '',
  service: '(others)',
  port: '',
  protocol: '',
  ip_family: '',
};

export class LimitedSeries<Count extends string> {
  readonly #limit: number;
  readonly #counts: readonly Count[];
  /** Who has a series keeps it, so that none ends because another service port came. By id(). */
  readonly #named = new Set<string>();
  /** What each of the others had counted when it was last looked at. By id(). */
  #seen = new Map<string, Counts<Count>>();
  #sums: Record<Count, number>;

  /** `counts` are those that only grow. */
  constructor(limit: number, counts: readonly Count[]) {
    this.#limit = limit;
    this.#counts = counts;
    this.#sums = this.#each(() => 0);
  }

  /** Sums that do not fall when one of the others goes: of what was added each time that share() looked. */
  get sums(): Counts<Count> {
    return this.#sums;
  }

  /** `present` in a lasting order. */
  share<Each extends OfServicePort & Counts<Count>>(present: readonly Each[]): Shares<Each> {
    this.#choose(new Set(present.map(id)));
    const named: Each[] = [];
    const others: Each[] = [];
    for (const each of present) (this.#named.has(id(each)) ? named : others).push(each);
    const seen = new Map<string, Counts<Count>>();
    for (const each of others) {
      const before = this.#seen.get(id(each));
      this.#sums = this.#each((count) => this.#sums[count] + growth(before?.[count], each[count]));
      seen.set(
        id(each),
        this.#each((count) => each[count]),
      );
    }
    this.#seen = seen;
    return { named, others };
  }

  #choose(present: ReadonlySet<string>): void {
    for (const each of this.#named) if (!present.has(each)) this.#named.delete(each);
    for (const each of present) {
      if (this.#named.size >= this.#limit) break;
      this.#named.add(each);
    }
  }

  #each(value: (count: Count) => number): Record<Count, number> {
    return Object.fromEntries(this.#counts.map((count) => [count, value(count)])) as Record<Count, number>;
  }
}

/** A count that fell began anew, as in Prometheus' own increase(). */
function growth(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before;
}

function id({ servicePort: { family, key } }: OfServicePort): string {
  return `${family} ${key}`;
}

export function labelsOf({ servicePort }: OfServicePort): Series['labels'] {
  const { namespace, service, port, protocol, family } = servicePort;
  return { namespace, service, port: String(port), protocol, ip_family: family };
}

interface Row<Figures> extends Pick<Series, 'labels'> {
  readonly endpoints: Iterable<Figures>;
}

export interface LabelledEndpoint<Figures> extends Pick<Series, 'labels'> {
  readonly figures: Figures;
}

/** With the labels of their service ports. Looks at no more than it takes; others have their turn in between. */
export async function firstEndpoints<Figures extends { readonly target: string }>(
  rows: readonly Row<Figures>[],
  limit: number,
): Promise<readonly LabelledEndpoint<Figures>[]> {
  const found: LabelledEndpoint<Figures>[] = [];
  const turns = new WorkTurns();
  for (const { labels, endpoints } of rows) {
    for (const figures of endpoints) {
      if (found.length >= limit) return found;
      found.push({ labels: { ...labels, endpoint: figures.target }, figures });
    }
    if (turns.isOver()) await turns.next();
  }
  return found;
}
