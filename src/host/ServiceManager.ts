/**
 * The service manager that started this process, as far as there is one (systemd with Type=notify): it is told when the agent
 * serves, reads its configuration again and ends, how it does, and every half of WatchdogSec that it is alive. Sources: sd_notify(3),
 * sd_watchdog_enabled(3).
 */
import { messageOf } from '../errors.js';
import { nativeAddon } from '../kernel/addon/nativeAddon.js';
import { oneLine } from '../net/oneLine.js';
import type { Clock } from '../time/Clock.js';

export interface ServiceManagerOptions {
  /** NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read and taken out: they are not for programs that are started here. */
  readonly environment: Record<string, string | undefined>;
  readonly pid: number;
  readonly clock: Clock;
  readonly log: { warn(message: string): void };
  /** One datagram to a Unix socket; throws when that cannot be. */
  readonly send?: (address: string, text: string) => void;
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly monotonic?: () => bigint;
}

/** Milliseconds between two looks at how the agent does, where there is no watchdog. */
const LOOK_EVERY_MS = 10_000;
/** A watchdog of less is none: the agent would do nothing else. Milliseconds. */
const SHORTEST_BEAT_MS = 50;
/** The longest timer there is (setTimeout). Milliseconds. */
const LONGEST_BEAT_MS = 2 ** 31 - 1;

export class ServiceManager {
  readonly #options: ServiceManagerOptions;
  /** undefined: nobody wants to hear. */
  readonly #socket: string | undefined;
  /** Whether it wants to hear that we are alive. */
  readonly #isWatching: boolean = false;
  #cancelBeat: () => void = () => {};
  #state: 'starting' | 'serving' | 'reloading' | 'stopping' = 'starting';
  #status: () => string = () => 'Starting';
  /** As told last. */
  #told = '';
  #hasFailed = false;

  constructor(options: ServiceManagerOptions) {
    this.#options = options;
    const { environment, pid } = options;
    const { NOTIFY_SOCKET: socket = '', WATCHDOG_USEC: limit = '', WATCHDOG_PID: watched = '' } = environment;
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
    // Addresses of vsock, which machines use to tell their host, are none of ours.
    this.#socket = /^[/@]./.test(socket) ? socket : undefined;
    if (this.#socket === undefined) return;
    const isOurs = watched === '' || watched === String(pid);
    const half = isOurs && /^[1-9]\d{0,17}$/.test(limit) ? Number(limit) / 2000 : 0;
    this.#isWatching = half >= SHORTEST_BEAT_MS;
    this.#beat(this.#isWatching ? Math.min(half, LONGEST_BEAT_MS) : LOOK_EVERY_MS);
    this.#tell();
  }

  /** From now on this says how the agent does, in one line. */
  follow(status: () => string): void {
    this.#status = status;
    this.#tell();
  }

  /** The agent serves, with the configuration as it is now. */
  serves(): void {
    if (this.#state === 'stopping') return;
    this.#state = 'serving';
    this.#tell('READY=1');
  }

  /** Until serves() comes again. An agent that does not serve yet reads its configuration anyway. */
  reloading(): void {
    if (this.#state !== 'serving') return;
    this.#state = 'reloading';
    const { monotonic = process.hrtime.bigint } = this.#options;
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${monotonic() / 1000n}`);
  }

  /** What was to be read changed nothing that the agent must start anew for. */
  reloaded(): void {
    if (this.#state === 'reloading') this.serves();
  }

  stopping(why: string): void {
    this.#state = 'stopping';
    this.#status = () => why;
    this.#tell('STOPPING=1');
  }

  close(): void {
    this.#cancelBeat();
  }

  /** Being able to say so is what is watched: the timer needs the event loop that serves. */
  #beat(everyMs: number): void {
    this.#cancelBeat = this.#options.clock.after(everyMs, () => {
      this.#beat(everyMs);
      this.#tell(...(this.#isWatching ? ['WATCHDOG=1'] : []));
    });
  }

  #tell(...lines: readonly string[]): void {
    if (this.#socket === undefined) return;
    const { log, send = nativeAddon().sendToUnixSocket } = this.#options;
    const status = oneLine(this.#status());
    const all = status === this.#told ? lines : [...lines, `STATUS=${status}`];
    if (all.length === 0) return;
    try {
      send(this.#socket, all.join('\n'));
      this.#told = status;
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed)
        log.warn(`the service manager cannot be told ${all[0]} at ${this.#socket}: ${messageOf(error)}`);
      this.#hasFailed = true;
    }
  }
}
