/** The last syncs, for those who look: what was written, how long it took, what failed. */
export interface SyncRecord {
  /** ISO 8601, of the end. */
  readonly time: string;
  /** '' for a sync that failed as a whole. */
  readonly family: string;
  readonly kind: 'full' | 'partial';
  /** Service ports. */
  readonly written: number;
  readonly milliseconds: number;
  /** '' when it did what it should. */
  readonly failure: string;
}

const KEPT = 100;

export class SyncHistory {
  readonly #date: () => number;
  #records: SyncRecord[] = [];

  /** `date`: milliseconds since the epoch. */
  constructor(date: () => number) {
    this.#date = date;
  }

  /** The newest first. */
  get records(): readonly SyncRecord[] {
    return this.#records;
  }

  add(record: Omit<SyncRecord, 'time'>): void {
    const whole = { time: new Date(this.#date()).toISOString(), ...record };
    this.#records = [whole, ...this.#records.slice(0, KEPT - 1)];
  }
}
