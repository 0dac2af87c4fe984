/** Takes in a configuration file that changes while the agent runs: what can be is in force at once, the rest is said. */
import type { Logger } from 'pino';
import { changedFields } from '../config/file/changedFields.js';
import type { RunCommand } from '../config/flags/parseRunCommand.js';
import { messageOf, PenstockError } from '../errors.js';
import { tuneConntrack } from '../host/hostTuning.js';
import { setOomScore } from '../host/oomScore.js';
import type { Sysctls } from '../kernel/sysctl/Sysctls.js';
import { logLevel } from '../observe/log/createLogger.js';
import { FileWatch } from './FileWatch.js';

export type Run = Extract<RunCommand, { type: 'run' }>;

export interface ConfigReloadOptions {
  /** What is in force. */
  readonly run: Run;
  /** Reads the command line and its file again. Throws what is wrong with them. */
  readonly parse: () => Run;
  readonly sysctls: Sysctls;
  readonly log: Logger;
}

export class ConfigReload {
  readonly #options: ConfigReloadOptions;
  readonly #watch: FileWatch | undefined;
  #inForce: Run;
  #resolve: (run: Run) => void = () => {};
  /** Resolves to a configuration that the agent has to be started anew for. */
  readonly next: Promise<Run>;

  constructor(options: ConfigReloadOptions) {
    this.#options = options;
    this.#inForce = options.run;
    this.next = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const { configFile } = options.run.options;
    this.#watch = configFile === '' ? undefined : new FileWatch(configFile, () => this.#changed(configFile));
  }

  close(): void {
    this.#watch?.close();
  }

  #changed(file: string): void {
    const { parse, log } = this.#options;
    let run: Run;
    try {
      run = parse();
    } catch (error) {
      const remedy = error instanceof PenstockError && error.remedy ? ` → ${error.remedy}` : '';
      log.error(
        `${file} has changed and is not taken; the configuration before stays in force: ${oneLine(messageOf(error))}${remedy}`,
      );
      return;
    }
    const { live, anew, restart } = changedFields(this.#inForce.source, run.source);
    this.#inForce = run;
    if (restart.length > 0) {
      log.warn(`${file} has changed: ${restart.join(', ')} will be in force after a restart of penstock`);
    }
    if (anew.length > 0) {
      log.info(`${file} has changed: ${[...live, ...anew].join(', ')}; starting anew in this process`);
      this.#resolve(run);
    } else if (live.length > 0) {
      this.#apply(run);
      log.info(`${file} has changed: ${live.join(', ')}; in force`);
    }
  }

  #apply({ config }: Run): void {
    const { sysctls, log } = this.#options;
    log.level = logLevel(config.logging.verbosity);
    tuneConntrack(config, sysctls, log);
    setOomScore(config.oomScoreAdj, (text) => log.info(text));
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ');
}
