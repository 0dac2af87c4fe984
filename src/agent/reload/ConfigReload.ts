/**
 * Takes in a configuration file that changes while the process runs: what can be is in force at once, for some fields the
 * agent starts anew in this process, the rest is said.
 */

import type { Logger } from 'pino';
import { changedFields, withLiveFields } from '../../config/file/changedFields.js';
import type { Run } from '../../config/flags/parseRunCommand.js';
import { messageOf, PenstockError } from '../../errors.js';
import { tuneConntrack } from '../../host/hostTuning.js';
import { oneLine } from '../../net/oneLine.js';
import { logLevel } from '../../observe/log/createLogger.js';
import type { NodeHost } from '../NodeHost.js';
import { FileWatch } from './FileWatch.js';

export interface ConfigReloadOptions {
  /** What the process was started with. */
  readonly run: Run;
  /** Reads the command line and its file again. Throws what is wrong with them. */
  readonly parse: () => Run;
  readonly host: Pick<NodeHost, 'sysctls' | 'clock' | 'readFile' | 'setOomScore'>;
  readonly log: Logger;
}

export class ConfigReload {
  readonly #options: ConfigReloadOptions;
  readonly #file: string;
  readonly #watch: FileWatch | undefined;
  /** What the agent serves, with what came into force since it started. */
  #inForce: Run;
  /** What it is being started anew with; undefined: with nothing. */
  #starting: Run | undefined;
  /** What was read last, and what it was last started anew with. */
  #read: Run;
  #tried: Run;
  /** Fields that only another process will follow. */
  #waiting: readonly string[] = [];
  /** Why the file as it is was not taken; undefined: it was. */
  #refusal: string | undefined;
  #gone = false;
  /** The agent serves and can be started anew. */
  #want: ((run: Run) => void) | undefined;

  constructor(options: ConfigReloadOptions) {
    this.#options = options;
    this.#inForce = options.run;
    this.#read = options.run;
    this.#tried = options.run;
    this.#file = options.run.options.configFile;
    this.#watch =
      this.#file === ''
        ? undefined
        : new FileWatch({
            file: this.#file,
            clock: options.host.clock,
            read: options.host.readFile,
            onChange: () => this.#changed(),
            onGone: () => this.#vanished(),
          });
  }

  close(): void {
    this.#watch?.close();
  }

  /** What the agent serves, or served last. */
  get inForce(): Run {
    return this.#inForce;
  }

  /** What the agent was to be started anew with cannot be served. Returns what is to come back. */
  back(): Run {
    this.#starting = undefined;
    return this.#inForce;
  }

  /** The agent serves this now. Resolves to a configuration that it has to be started anew for. */
  next(serving: Run): Promise<Run> {
    this.#inForce = serving;
    this.#starting = undefined;
    this.#options.log.level = logLevel(serving.config.logging.verbosity);
    return new Promise((resolve) => {
      this.#want = resolve;
      const failed = this.#read === this.#tried && serving !== this.#tried;
      // What has changed while the agent started.
      if (!failed) this.#catchUp();
    });
  }

  #catchUp(): void {
    const { live, anew } = changedFields(this.#inForce.source, this.#read.source);
    if (anew.length > 0) this.#begin(this.#read);
    else if (live.length > 0) this.#apply(this.#read);
  }

  /** Reads the file now, changed or not, and says what came of it. `anew`: next() resolves, and the agent is to start again. */
  readAgain(why: string): 'anew' | 'done' {
    const { log } = this.#options;
    if (this.#watch === undefined) {
      log.info(`${why}: there is no configuration file to read again`);
      return 'done';
    }
    log.info(`${why}: reading ${this.#file} again`);
    this.#watch.taken();
    const outcome = this.#changed();
    if (outcome === 'nothing new') log.info(`${this.#file} has not changed`);
    return outcome === 'anew' ? 'anew' : 'done';
  }

  #vanished(): void {
    const { log } = this.#options;
    const stays = 'the configuration before stays in force';
    this.#gone = true;
    if (this.#refusal !== undefined)
      log.info(`solved: ${this.#file}, which was not taken, is gone; ${stays}`);
    else log.warn(`${this.#file} is gone; ${stays}, and a new start would fail`);
    this.#refusal = undefined;
  }

  #changed(): 'anew' | 'taken' | 'refused' | 'nothing new' {
    const { parse } = this.#options;
    try {
      const run = parse();
      this.#sayTaken();
      for (const warning of run.warnings) this.#options.log.warn(warning);
      return this.#take(run);
    } catch (error) {
      this.#sayRefused(error);
      return 'refused';
    }
  }

  #sayTaken(): void {
    const { log } = this.#options;
    if (this.#refusal !== undefined) log.info(`solved: ${this.#file} can be taken again`);
    else if (this.#gone) log.info(`solved: ${this.#file} is there again`);
    this.#refusal = undefined;
    this.#gone = false;
  }

  #sayRefused(error: unknown): void {
    const remedy = error instanceof PenstockError && error.remedy ? ` → ${error.remedy}` : '';
    this.#refusal = `${oneLine(messageOf(error))}${remedy}`;
    this.#options.log.error(
      `${this.#file} has changed and is not taken; the configuration before stays in force: ${this.#refusal}`,
    );
  }

  #take(run: Run): 'anew' | 'taken' | 'nothing new' {
    const { log } = this.#options;
    const { live } = changedFields(this.#read.source, run.source);
    const { anew } = changedFields(this.#target.source, run.source);
    this.#read = run;
    const saidOfRestart = this.#sayWhatWaits(run);
    if (anew.length > 0) {
      const all = [...new Set([...live, ...anew])].join(', ');
      log.info(`${this.#file} has changed: ${all}; starting anew in this process`);
      this.#begin(run);
      return 'anew';
    }
    if (live.length === 0) return saidOfRestart ? 'taken' : 'nothing new';
    if (this.#want !== undefined) this.#apply(run);
    log.info(`${this.#file} has changed: ${live.join(', ')}; in force`);
    return 'taken';
  }

  /** What the agent serves, or is about to. */
  get #target(): Run {
    return this.#starting ?? this.#inForce;
  }

  /** Whether there was something to say. */
  #sayWhatWaits(run: Run): boolean {
    const { log, run: started } = this.#options;
    // The log is that of the process, however often its agent has started anew.
    const ofLog = changedFields(started.source, run.source).restart.filter((field) =>
      field.startsWith('logging.'),
    );
    const ofAgent = changedFields(this.#target.source, run.source).restart.filter(
      (field) => !field.startsWith('logging.'),
    );
    const waiting = [...ofLog, ...ofAgent];
    const added = waiting.filter((field) => !this.#waiting.includes(field));
    const back = this.#waiting.filter((field) => !waiting.includes(field));
    this.#waiting = waiting;
    if (added.length > 0)
      log.warn(`${this.#file} has changed: ${added.join(', ')} will be in force after a restart of penstock`);
    if (back.length > 0)
      log.info(`${this.#file} has changed: ${back.join(', ')} as in force again; no restart is needed`);
    return added.length + back.length > 0;
  }

  /** While the agent starts, nothing begins: next() catches up. */
  #begin(run: Run): void {
    const want = this.#want;
    if (want === undefined) return;
    this.#want = undefined;
    this.#starting = run;
    this.#tried = run;
    this.#options.log.level = logLevel(run.config.logging.verbosity);
    want(run);
  }

  #apply({ config, source }: Run): void {
    const { host, log } = this.#options;
    const { conntrack, oomScoreAdj, logging } = config;
    log.level = logLevel(logging.verbosity);
    tuneConntrack(config, host.sysctls, log);
    host.setOomScore(oomScoreAdj, (text) => log.info(text));
    const before = this.#inForce;
    this.#inForce = {
      ...before,
      source: withLiveFields(before.source, source),
      config: {
        ...before.config,
        conntrack,
        oomScoreAdj,
        logging: { ...before.config.logging, verbosity: logging.verbosity },
      },
    };
  }
}
