/** Says a problem once when it appears and once when it is gone, whoever reports it. */
import type { Logger } from 'pino';
import type { Problem } from '../objects/Problem.js';

export class ProblemLog {
  readonly #log: Logger;
  /** By reporter, then by text. */
  readonly #known = new Map<string, Map<string, Problem>>();
  readonly #onNew: (reporter: string, problem: Problem) => void;

  /** `onNew` hears of each problem once, when it appears. */
  constructor(log: Logger, onNew: (reporter: string, problem: Problem) => void = () => {}) {
    this.#log = log;
    this.#onNew = onNew;
  }

  /** Every problem there is now. */
  all(): Problem[] {
    return [...this.#known.values()].flatMap((problems) => [...problems.values()]);
  }

  /** `problems` is the complete list of the reporter. */
  set(reporter: string, problems: readonly Problem[]): void {
    const before = this.#known.get(reporter) ?? new Map<string, Problem>();
    const now = new Map(problems.map((problem) => [`${problem.subject}: ${problem.message}`, problem]));
    this.#known.set(reporter, now);
    for (const [text, problem] of now) {
      if (before.has(text)) continue;
      const { where, severity } = problem;
      const at = where === undefined ? {} : { where };
      if (severity === 'note') {
        this.#log.info(at, text);
        continue;
      }
      this.#log.warn(at, text);
      this.#onNew(reporter, problem);
    }
    for (const [text, { severity }] of before)
      if (!now.has(text) && severity !== 'note') this.#log.info(`solved: ${text}`);
  }
}
