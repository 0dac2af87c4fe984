/** A client that connects again and again while something else happens. */
import { ask } from './loopbackEndpoints.js';

export class PacedClient {
  readonly #address: string;
  readonly #answers: readonly string[];
  readonly #pauseMs: number;
  readonly #started = performance.now();
  #going = true;
  readonly #done: Promise<void>;
  connects = 0;
  /** Answers that are none of the expected, and when: seconds from the start of the first connect. */
  readonly failures: string[] = [];

  /** `pauseMs`: between two connects. */
  constructor(address: string, answers: readonly string[], pauseMs = 4) {
    this.#address = address;
    this.#answers = answers;
    this.#pauseMs = pauseMs;
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#done;
  }

  async #run(): Promise<void> {
    while (this.#going) {
      // Paced: after some 23,000 connects in a row source ports come round again and meet connections in TIME_WAIT,
      // and then one times out now and then, whatever happens to the rules.
      await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
      const begun = performance.now();
      const answer = await ask(this.#address);
      this.connects++;
      if (!this.#answers.includes(answer)) {
        const [from, to] = [begun, performance.now()].map((at) => ((at - this.#started) / 1000).toFixed(1));
        this.failures.push(`${answer} (from ${from} s to ${to} s)`);
      }
    }
  }
}
