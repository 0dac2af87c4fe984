/** The balancing of each Service, read from its annotations once, and what was wrong with these and others that routing reads. */
import { type Algorithm, type Balancing, UNWEIGHTED } from '../../balancing/Balancing.js';
import { type BalancingReading, readBalancing } from '../../balancing/readBalancing.js';
import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import type { Service } from '../../objects/Service.js';
import { readWake } from '../waking.js';

const NO_FAULTS: readonly string[] = [];

export class ServiceBalancing {
  readonly #usual: Algorithm;
  /** By `namespace/name`; only those that ask for something, which few do. */
  readonly #readings = new Map<string, BalancingReading>();

  /** `usual`: of Services that name no algorithm. */
  constructor(usual: Algorithm) {
    this.#usual = usual;
  }

  /** `service` is undefined when it is gone, or none of ours. */
  update(path: string, service: Service | undefined): void {
    const reading = service && read(service, this.#usual);
    const isUsual =
      !reading || (reading.balancing === UNWEIGHTED[this.#usual] && reading.faults.length === 0);
    if (isUsual) this.#readings.delete(path);
    else this.#readings.set(path, reading);
  }

  of(path: string): Balancing {
    return this.#readings.get(path)?.balancing ?? UNWEIGHTED[this.#usual];
  }

  *problems(): Iterable<Problem> {
    for (const [path, { faults }] of this.#readings) {
      const [namespace = '', name = ''] = path.split('/');
      const subject = objectName({ kind: 'Service', namespace, name });
      for (const message of faults) yield { subject, message };
    }
  }
}

function read({ options }: Service, usual: Algorithm): BalancingReading {
  const { balancing, faults } = readBalancing(options, usual);
  const others = Object.keys(options).length === 0 ? NO_FAULTS : readWake(options).faults;
  return { balancing, faults: others.length === 0 ? faults : [...faults, ...others] };
}
