/**
 * nf_tables of one network namespace in memory, in the kernel's own bytes: transactions that take effect whole or not at
 * all, a generation that every change moves, references that keep things from being deleted, lists that say when they
 * were interrupted, notices of every change. test/system/nftables/model.test.ts holds it against the kernel.
 *
 * What packets do to it is left to tests: `addElement` is what a rule does that learns an element.
 */
import { constants } from 'node:os';
import {
  BatchType,
  ControlType,
  MessageFlag,
  NETFILTER_HEADER,
} from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import { GenerationAttribute, NFTABLES_GROUP, NftMessage } from '../../../src/kernel/nftables/constants.js';
import { Attributes } from './Attributes.js';
import { type ChangeContext, Refused, type Tables } from './ChangeContext.js';
import { Changes } from './Changes.js';
import { change } from './changeTable.js';
import { describeSubject, familyOfSubject, putHeader, typeOfEvent } from './describeObject.js';
import { answerRequest } from './listTables.js';
import { AnswerWriter, type Dump, type Errno, type ModelSocket, type Subsystem } from './ModelSocket.js';
import { validateTable } from './Ruleset.js';

const { EINVAL } = constants.errno;
/** Not in errno.h of programs. */
const ERESTART = 85;

/** NFNL_BATCH_GENID. */
const BATCH_GENERATION = 1;
/** NLMSG_MIN_TYPE. */
const SMALLEST_TYPE = 0x10;
/** About what one datagram of notices holds. */
const NOTICE_BYTES = 3500;

export interface NftablesHost {
  /** Milliseconds. */
  readonly now: () => number;
  /** Sockets that hear of changes. */
  readonly listeners: () => Iterable<ModelSocket>;
  /** Bytes of one part of a list. */
  readonly partBytes: () => number;
  /** A transaction of this socket has changed something. */
  readonly committed?: (socket: ModelSocket) => void;
}

interface Outcome {
  readonly message: Message;
  readonly errno: Errno;
}

export class ModelNftables implements Subsystem {
  readonly tables: Tables = new Map();
  readonly #host: NftablesHost;
  #generation = 1;
  #lastHandle = 0;

  constructor(host: NftablesHost) {
    this.#host = host;
  }

  get generation(): number {
    return this.#generation;
  }

  request(message: Message, socket: ModelSocket): Errno | Dump {
    return answerRequest(message, socket, {
      tables: this.tables,
      generation: () => this.#generation,
      now: this.#host.now(),
      partBytes: this.#host.partBytes,
    });
  }

  /** As nfnetlink_rcv_batch(). */
  batch(messages: readonly Message[], socket: ModelSocket, refused: ReadonlyMap<number, Errno>): void {
    const [begin] = messages;
    if (!begin) return;
    const wanted = new Attributes(begin.attributes(NETFILTER_HEADER)).u32(BATCH_GENERATION) ?? 0;
    if (wanted !== 0 && wanted !== this.#generation) {
      socket.acknowledge(begin, ERESTART);
      return;
    }
    const outcomes =
      this.#tryBatch(messages, socket, refused, 'at the end') ??
      this.#tryBatch(messages, socket, refused, 'after each message') ??
      [];
    for (const { message, errno } of outcomes) socket.acknowledge(message, errno);
  }

  /**
   * The kernel looks at the whole table when all is done; when something is wrong with it then, all is done once more,
   * looking after each message, to find which one it was. Undefined: that is to be done.
   */
  #tryBatch(
    messages: readonly Message[],
    socket: ModelSocket,
    refused: ReadonlyMap<number, Errno>,
    validate: 'at the end' | 'after each message',
  ): Outcome[] | undefined {
    const outcomes: Outcome[] = [];
    const changes = new Changes();
    const context: ChangeContext = {
      tables: this.tables,
      changes,
      now: this.#host.now(),
      nextHandle: () => ++this.#lastHandle,
    };
    let state: 'open' | 'complete' | 'failed' = 'open';
    for (const [index, message] of messages.entries()) {
      const injected = refused.get(index);
      if (index === 0) {
        if (injected !== undefined) {
          // ENOMEM for the list of errors, a table that cannot be committed: the whole is refused.
          changes.abort();
          return [{ message, errno: injected }];
        }
        if ((message.flags & MessageFlag.ACK) !== 0) outcomes.push({ message, errno: 0 });
        continue;
      }
      if (message.type === BatchType.BEGIN) {
        changes.abort();
        return [];
      }
      if (message.type === BatchType.END) {
        if (state === 'open') state = 'complete';
        if ((message.flags & MessageFlag.ACK) !== 0 && state === 'complete')
          outcomes.push({ message, errno: 0 });
        break;
      }
      const errno = injected ?? carryOut(message, context, validate);
      if (errno !== 0) state = 'failed';
      if (errno !== 0 || (message.flags & MessageFlag.ACK) !== 0) outcomes.push({ message, errno });
    }
    if (state !== 'failed' && validate === 'at the end') {
      if ([...changes.tablesToValidate].some((table) => validateTable(table) !== 0)) {
        changes.abort();
        return undefined;
      }
    }
    if (state === 'complete') this.#commit(changes, messages[0], socket);
    else changes.abort();
    return outcomes;
  }

  #commit(changes: Changes, begin: Message | undefined, socket: ModelSocket): void {
    if (changes.events.length === 0) return;
    changes.commit();
    this.#generation = this.#generation === 0xffff_ffff ? 1 : this.#generation + 1;
    this.#tell(changes, begin?.sequence ?? 0, socket);
    this.#host.committed?.(socket);
  }

  #tell(changes: Changes, sequence: number, { portId, owner }: ModelSocket): void {
    const listeners = [...this.#host.listeners()];
    if (listeners.length === 0) return;
    const now = this.#host.now();
    const tell = (notices: AnswerWriter) => {
      const bytes = notices.bytes();
      for (const listener of listeners) listener.answer(bytes, NFTABLES_GROUP);
    };
    let notices = new AnswerWriter(sequence, portId);
    for (const event of changes.events) {
      notices.message(typeOfEvent(event), 0, (writer) => {
        putHeader(writer, familyOfSubject(event.subject), this.#generation);
        describeSubject(writer, event.subject, now);
      });
      if (notices.length < NOTICE_BYTES) continue;
      tell(notices);
      notices = new AnswerWriter(sequence, portId);
    }
    if (notices.length > 0) tell(notices);
    const last = new AnswerWriter(sequence, portId);
    last.message(NftMessage.NEW_GENERATION, 0, (writer) => {
      putHeader(writer, 0, this.#generation);
      writer.u32be(GenerationAttribute.ID, this.#generation);
      writer.u32be(GenerationAttribute.PROCESS_ID, portId);
      writer.string(GenerationAttribute.PROCESS_NAME, owner);
    });
    tell(last);
  }
}

function carryOut(
  message: Message,
  context: ChangeContext,
  validate: 'at the end' | 'after each message',
): Errno {
  if ((message.flags & MessageFlag.REQUEST) === 0) return EINVAL;
  if (message.type < SMALLEST_TYPE || message.type === ControlType.NOOP) return EINVAL;
  try {
    change(message, context);
  } catch (error) {
    if (error instanceof Refused) return error.errno;
    throw error;
  }
  const isWatched = message.type === NftMessage.NEW_RULE || message.type === NftMessage.NEW_ELEMENTS;
  if (validate === 'at the end' || !isWatched) return 0;
  for (const table of context.changes.tablesToValidate) {
    const errno = validateTable(table);
    if (errno !== 0) return errno;
  }
  return 0;
}
