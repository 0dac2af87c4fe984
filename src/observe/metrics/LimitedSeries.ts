/**
 * Service ports as series of metrics: one each for the first so many of them, one for all others together; the first endpoints of these.
 */
import type { ServicePort } from '../../routing/ServicePort.js';
import type { Series } from './metricText.js';
import type { TakesTurns } from './WorkTurns.js';

export interface OfServicePort {
  readonly servicePort: Pick<ServicePort, 'key' | 'family' | 'namespace' | 'service' | 'port' | 'protocol'>;
}

type Counts<Count extends string> = Readonly<Record<Count, number>>;

export interface Shares<Each, Count extends string, Level extends string> {
  readonly named: readonly Each[];
  /** Undefined when there are none and never were any that counted something. */
  readonly others: Counts<Count | Level> | undefined;
}

const OTHERS: Series['labels'] = {
  namespace: '',
  service: '(others)',
  port: '',
  protocol: '',
  ip_family: '',
};

export class LimitedSeries<Count extends string, Level extends string = never> {
  readonly #limit: number;
  readonly #counts: readonly Count[];
  readonly #levels: readonly Level[];
  /** Who has a series keeps it, so that none ends because another service port came. By id(). */
  readonly #named = new Set<string>();
  /** What each of the others had counted when it was last looked at. By id(). */
  #seen = new Map<string, Counts<Count>>();
  /** Of what the others counted each time that share() looked: they do not fall when one of the others goes. */
  readonly #sums: Record<Count, number>;
  #last: Promise<unknown> = Promise.resolve();

  /** `counts` are those that only grow; `levels` rise and fall. */
  constructor(limit: number, counts: readonly Count[], levels: readonly Level[] = []) {
    this.#limit = limit;
    this.#counts = counts;
    this.#levels = levels;
    this.#sums = zeroes(counts);
  }

  /** `present` in a lasting order. Others have their turn in between, but no second share(): it waits for the first. */
  share<Each extends OfServicePort & Counts<Count | Level>>(
    present: Iterable<Each>,
    turns: TakesTurns,
  ): Promise<Shares<Each, Count, Level>> {
    const shared = this.#last.then(() => this.#share(present, turns));
    this.#last = shared.catch(() => {});
    return shared;
  }

  async #share<Each extends OfServicePort & Counts<Count | Level>>(
    present: Iterable<Each>,
    turns: TakesTurns,
  ): Promise<Shares<Each, Count, Level>> {
    const found = new Map<string, Each>();
    for (const each of present) {
      found.set(id(each), each);
      if (turns.isOver()) await turns.next();
    }
    this.#choose(found);
    const named: Each[] = [];
    const now = zeroes(this.#levels);
    const seen = new Map<string, Counts<Count>>();
    for (const [key, each] of found) {
      if (this.#named.has(key)) named.push(each);
      else {
        seen.set(key, this.#counted(this.#seen.get(key), each));
        for (const level of this.#levels) now[level] += each[level];
      }
      if (turns.isOver()) await turns.next();
    }
    this.#seen = seen;
    const isAny = seen.size > 0 || this.#counts.some((count) => this.#sums[count] > 0);
    return { named, others: isAny ? { ...this.#sums, ...now } : undefined };
  }

  #choose(present: ReadonlyMap<string, unknown>): void {
    for (const each of this.#named) if (!present.has(each)) this.#named.delete(each);
    for (const each of present.keys()) {
      if (this.#named.size >= this.#limit) break;
      this.#named.add(each);
    }
  }

  /** Adds what was counted since; answers with the counts alone. */
  #counted(before: Counts<Count> | undefined, now: Counts<Count>): Counts<Count> {
    const counts: Partial<Record<Count, number>> = {};
    for (const count of this.#counts) {
      this.#sums[count] += growth(before?.[count], now[count]);
      counts[count] = now[count];
    }
    return counts as Counts<Count>;
  }
}

function zeroes<Figure extends string>(figures: readonly Figure[]): Record<Figure, number> {
  return Object.fromEntries(figures.map((figure) => [figure, 0])) as Record<Figure, number>;
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

/** One figure of each; made one after the other. */
export function* seriesOf<Figure extends string>(
  named: readonly (OfServicePort & Counts<Figure>)[],
  others: Counts<Figure> | undefined,
  figure: Figure,
): Generator<Series> {
  for (const each of named) yield { labels: labelsOf(each), value: each[figure] };
  if (others) yield { labels: OTHERS, value: others[figure] };
}

interface WithEndpoints<Figures> extends OfServicePort {
  readonly endpoints: Iterable<Figures>;
}

export interface LabelledEndpoint<Figures> extends Pick<Series, 'labels'> {
  readonly figures: Figures;
}

/** With the labels of their service ports. Looks at no more than it takes; others have their turn in between. */
export async function firstEndpoints<Figures extends { readonly target: string }>(
  servicePorts: readonly WithEndpoints<Figures>[],
  limit: number,
  turns: TakesTurns,
): Promise<readonly LabelledEndpoint<Figures>[]> {
  const found: LabelledEndpoint<Figures>[] = [];
  for (const servicePort of servicePorts) {
    const labels = labelsOf(servicePort);
    for (const figures of servicePort.endpoints) {
      if (found.length >= limit) return found;
      found.push({ labels: { ...labels, endpoint: figures.target }, figures });
      if (turns.isOver()) await turns.next();
    }
  }
  return found;
}
