/**
 * Which of several allocators writes. One Lease; the holder renews it. Whether a holder is gone is judged by how long this
 * process has not seen the Lease change, on its own clock: clocks of nodes differ. Versions of Services keep two from writing to one
 * Service; that two Services never get one address, the Lease alone says: it is asked before every write.
 */
import { messageOf } from '../../errors.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import type { Clock } from '../../time/Clock.js';

/** Milliseconds. */
export const RENEW_MS = 2000;
export const EXPIRES_MS = 10_000;

export interface LeaseAccess {
  /** The object; undefined: there is none. Rejects when the server does not answer. */
  read(): Promise<unknown>;
  /** Resolves to the status of the answer. */
  create(body: object): Promise<number>;
  patch(body: object): Promise<number>;
}

export interface LeadershipOptions {
  readonly access: LeaseAccess;
  readonly identity: string;
  readonly clock: Clock;
  /** Milliseconds since the epoch, for people who read the Lease. */
  readonly wallClock: () => number;
  readonly onChange: (leads: boolean, holder: string) => void;
  /** Once when the Lease cannot be had, and once when it can again (undefined). */
  readonly onTrouble: (why: string | undefined) => void;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  #version = '';
  #holder = '';
  /** When the Lease was last seen to change. */
  #changedAt: number;
  /** When this process last renewed it; it leads no longer than the Lease lives after that. */
  #renewedAt = Number.NEGATIVE_INFINITY;
  #leads = false;
  #trouble = false;
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#changedAt = options.clock.now();
  }

  get leads(): boolean {
    return this.#leads && this.#options.clock.now() - this.#renewedAt < EXPIRES_MS;
  }

  start(): void {
    this.#running = this.#turn();
  }

  /** Gives the Lease back, so that the next one need not wait. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#running;
    if (!this.#leads) return;
    this.#leads = false;
    await this.#giveBack().catch(() => undefined);
  }

  async #giveBack(): Promise<void> {
    const { access, identity } = this.#options;
    this.#read(await access.read());
    if (this.#holder === identity) await access.patch(this.#body(''));
  }

  async #turn(): Promise<void> {
    try {
      await this.#once();
      if (this.#trouble) this.#options.onTrouble(undefined);
      this.#trouble = false;
    } catch (error) {
      if (!this.#trouble) this.#options.onTrouble(messageOf(error));
      this.#trouble = true;
    }
    if (!this.leads) this.#become(false);
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(RENEW_MS, () => {
      this.#running = this.#turn();
    });
  }

  async #once(): Promise<void> {
    const { access, clock, identity } = this.#options;
    const raw = await access.read();
    if (raw === undefined) {
      const sentAt = clock.now();
      const status = await access.create(this.#body(identity));
      if (status === 201) this.#renewed(sentAt);
      else if (status !== 409) throw new Error(refusal(status));
      return;
    }
    this.#read(raw);
    const isFree = this.#holder === '' || clock.now() - this.#changedAt >= EXPIRES_MS;
    if (this.#holder !== identity && !isFree) {
      this.#become(false);
      return;
    }
    const sentAt = clock.now();
    const status = await access.patch(this.#body(identity));
    if (status === 200) this.#renewed(sentAt);
    else if (status === 409) this.#become(false);
    else throw new Error(refusal(status));
  }

  #read(raw: unknown): void {
    const metadata = isRawObject(raw) && isRawObject(raw.metadata) ? raw.metadata : {};
    const spec = isRawObject(raw) && isRawObject(raw.spec) ? raw.spec : {};
    const version = typeof metadata.resourceVersion === 'string' ? metadata.resourceVersion : '';
    if (version !== this.#version) this.#changedAt = this.#options.clock.now();
    this.#version = version;
    this.#holder = typeof spec.holderIdentity === 'string' ? spec.holderIdentity : '';
  }

  #renewed(sentAt: number): void {
    // It may have run out meanwhile: what waited begins anew.
    if (!this.leads) this.#become(false);
    this.#renewedAt = sentAt;
    this.#holder = this.#options.identity;
    this.#become(true);
  }

  #become(leads: boolean): void {
    if (this.#leads === leads) return;
    this.#leads = leads;
    this.#options.onChange(leads, this.#holder);
  }

  #body(holder: string): object {
    const { wallClock } = this.#options;
    return {
      metadata: this.#version === '' ? {} : { resourceVersion: this.#version },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: EXPIRES_MS / 1000,
        renewTime: new Date(wallClock()).toISOString().replace('Z', '000Z'),
      },
    };
  }
}

function refusal(status: number): string {
  const answer = `the API server answered ${status} to the Lease of the allocator`;
  return status === 403 ? `${answer}; apply the Role of deploy/allocator` : answer;
}
