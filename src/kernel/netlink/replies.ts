/** What the kernel's answers to a request, a dump and a batch come to, and which message is the last. */
import { constants } from 'node:os';
import { ControlType, MessageFlag } from './constants.js';
import type { Message } from './Message.js';
import { NetlinkError } from './NetlinkError.js';
import { readOutcome } from './readOutcome.js';

export interface Reply<Result> {
  /** `index`: which message of the request this answers. Returns true when it is the last answer. */
  take(message: Message, index: number): boolean;
  /** After the last answer. Throws NetlinkError. */
  result(): Result;
}

/** Answers of one request, each handed on as it comes, so that a long list needs no memory. */
export class StreamReply implements Reply<void> {
  readonly #what: string;
  readonly #hear: (message: Message) => void;
  #error: NetlinkError | undefined;

  constructor(what: string, hear: (message: Message) => void) {
    this.#what = what;
    this.#hear = hear;
  }

  take(message: Message): boolean {
    if (message.type !== ControlType.ERROR && message.type !== ControlType.DONE) {
      this.#hear(message);
      return false;
    }
    const outcome = readOutcome(message);
    if (outcome.errno !== 0) this.#error = new NetlinkError(this.#what, outcome);
    return true;
  }

  result(): void {
    if (this.#error !== undefined) throw this.#error;
  }
}

/** Answers of one message sent with NLM_F_ACK. */
export class RequestReply implements Reply<readonly Message[]> {
  readonly #messages: Message[] = [];
  readonly #stream: StreamReply;

  constructor(what: string) {
    this.#stream = new StreamReply(what, (message) => this.#messages.push(message));
  }

  take(message: Message): boolean {
    return this.#stream.take(message);
  }

  result(): readonly Message[] {
    this.#stream.result();
    return this.#messages;
  }
}

/** Answers of one NLM_F_DUMP, which may have been interrupted by a change of what was being dumped. */
export class DumpReply implements Reply<readonly Message[] | 'interrupted'> {
  readonly #request: RequestReply;
  #interrupted = false;

  constructor(what: string) {
    this.#request = new RequestReply(what);
  }

  take(message: Message): boolean {
    if ((message.flags & MessageFlag.DUMP_INTERRUPTED) !== 0) this.#interrupted = true;
    return this.#request.take(message);
  }

  result(): readonly Message[] | 'interrupted' {
    const messages = this.#request.result();
    return this.#interrupted ? 'interrupted' : messages;
  }
}

/** The same as StreamReply; says whether the list changed while it was dumped. */
export class WholeStreamReply implements Reply<'whole' | 'interrupted'> {
  readonly #stream: StreamReply;
  #interrupted = false;

  constructor(what: string, hear: (message: Message) => void) {
    this.#stream = new StreamReply(what, hear);
  }

  take(message: Message): boolean {
    if ((message.flags & MessageFlag.DUMP_INTERRUPTED) !== 0) this.#interrupted = true;
    return this.#stream.take(message);
  }

  result(): 'whole' | 'interrupted' {
    this.#stream.result();
    return this.#interrupted ? 'interrupted' : 'whole';
  }
}

/** Answers of several messages of one sendmsg. The result is what was refused, in the order of the messages. */
export class BatchReply implements Reply<readonly NetlinkError[]> {
  readonly #what: string;
  readonly #awaited: number;
  readonly #ending: number;
  readonly #errors: NetlinkError[] = [];

  /**
   * Ends with any answer to message `awaited`, or with a refusal of message `ending`, which speaks for all
   * (-1: there is none such). Throws RangeError when `awaited` is no message.
   */
  constructor(what: string, awaited: number, ending: number) {
    if (awaited < 0) throw new RangeError(`${what}: no message of the batch asks for an answer (NLM_F_ACK)`);
    this.#what = what;
    this.#awaited = awaited;
    this.#ending = ending;
  }

  take(message: Message, index: number): boolean {
    if (message.type !== ControlType.ERROR) return false;
    const outcome = readOutcome(message);
    if (outcome.errno !== 0) this.#errors.push(new NetlinkError(this.#what, { ...outcome, index }));
    return index === this.#awaited || (index === this.#ending && outcome.errno !== 0);
  }

  result(): readonly NetlinkError[] {
    return this.#errors.sort((a, b) => (a.index ?? 0) - (b.index ?? 0));
  }
}

/** The error of a dump that was interrupted each time. */
export function neverConsistent(what: string, attempts: number): NetlinkError {
  const words = `it changed during each of ${attempts} attempts to list it`;
  return new NetlinkError(what, { errno: -constants.errno.EINTR, words });
}
