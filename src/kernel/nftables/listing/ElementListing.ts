/**
 * What the kernel listed of one set or map, as it came. To compare a table of 300,000 elements with what is wanted makes no
 * object for those that are as they should be: that costs a third of the time, and leaves nothing to collect.
 */
import { ATTRIBUTE_HEADER, ATTRIBUTE_TYPE_MASK, NETFILTER_HEADER } from '../../netlink/constants.js';
import { HOST_IS_LITTLE_ENDIAN } from '../../netlink/hostOrder.js';
import type { Message } from '../../netlink/Message.js';
import { DataAttribute, ElementAttribute, ElementList } from '../constants.js';
import { COMMENT, type Elements, type ReadElement, readElementAt, readElements } from '../elements.js';
import type { ElementDigest } from './ElementDigest.js';
import { ElementIndex } from './ElementIndex.js';

export interface ComparedElements {
  /** Positions in what is wanted. */
  readonly missing: readonly number[];
  /** There, with another value: positions in what is wanted. */
  readonly changed: readonly number[];
  /** Keys of what is there and not wanted. */
  readonly unwanted: readonly string[];
}

export class ElementListing {
  readonly #messages: readonly Message[];

  constructor(messages: readonly Message[]) {
    this.#messages = messages;
  }

  each(take: (element: ReadElement) => void): void {
    readElements(this.#messages, take);
  }

  compare(wanted: Elements): ComparedElements {
    const index = new ElementIndex(wanted);
    const unwanted: string[] = [];
    const reader = new ElementCursor();
    for (const { payload } of this.#messages) {
      for (reader.begin(payload); reader.next(); ) {
        const { keyStart, keyLength, valueStart, valueLength } = reader;
        // Ranges, chains, comments and whatever is no plain key with a plain value is read in full.
        if (reader.isPlain && index.see(payload, keyStart, keyLength, valueStart, valueLength)) continue;
        const { key, value } = readElementAt(payload, reader.start, reader.end);
        if (!index.seeText(key, value)) unwanted.push(key);
      }
    }
    return { ...index.rest(), unwanted };
  }
}

/** Adds what one message of a listing has. */
export function digestMessage({ payload }: Message, digest: ElementDigest): void {
  const reader = DIGESTING;
  for (reader.begin(payload); reader.next(); ) {
    const { keyStart, keyLength, valueStart, valueLength, commentStart, commentLength } = reader;
    if (reader.isPlain || reader.isCommented) {
      digest.see(payload, keyStart, keyLength, valueStart, valueLength, commentStart, commentLength);
      continue;
    }
    const { key, value } = readElementAt(payload, reader.start, reader.end);
    digest.add(key, value);
  }
}

const NONE = -1;

/** Of elements that are more than a key and a value: ranges, those for all keys. */
const NOT_PLAIN: ReadonlySet<number> = new Set([ElementAttribute.KEY_END, ElementAttribute.FLAGS]);

/** Bytes before the text of a comment. */
const COMMENT_HEADER = 2;

/** Goes through the elements of a message without an object for any. Stops where a length cannot be. */
class ElementCursor {
  /** Of the attributes of the present element. */
  start = 0;
  end = 0;
  /** Whether it has a key and, if any, a value that is no verdict, and nothing beside that says more. */
  isPlain = false;
  keyStart = 0;
  keyLength = 0;
  valueStart = 0;
  valueLength = 0;
  /** Whether it would be plain without its comment, which is one as ours are. */
  isCommented = false;
  /** Of its text. */
  commentStart = 0;
  commentLength = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #place = 0;
  #listEnd = 0;
  /** Of the attribute that was looked at last. */
  #type = 0;
  #contentEnd = 0;

  begin(payload: Uint8Array): void {
    this.#bytes = payload;
    this.#place = 0;
    this.#listEnd = 0;
    for (let at = NETFILTER_HEADER; at !== NONE && at < payload.length; ) {
      const next = this.#look(at, payload.length);
      if (next !== NONE && this.#type === ElementList.ELEMENTS) {
        this.#place = at + ATTRIBUTE_HEADER;
        this.#listEnd = this.#contentEnd;
        return;
      }
      at = next;
    }
  }

  next(): boolean {
    if (this.#place >= this.#listEnd) return false;
    const next = this.#look(this.#place, this.#listEnd);
    if (next === NONE) return false;
    this.start = this.#place + ATTRIBUTE_HEADER;
    this.end = this.#contentEnd;
    this.#place = next;
    this.#readElement();
    return true;
  }

  #readElement(): void {
    this.isPlain = false;
    this.keyLength = NONE;
    this.valueStart = 0;
    this.valueLength = 0;
    this.isCommented = false;
    this.commentLength = 0;
    let comments = 0;
    const { end } = this;
    for (let at = this.start; at < end; ) {
      const next = this.#look(at, end);
      if (next === NONE) return;
      const type = this.#type;
      if (type === ElementAttribute.KEY || type === ElementAttribute.DATA) {
        const inner = at + ATTRIBUTE_HEADER;
        if (this.#look(inner, this.#contentEnd) === NONE || this.#type !== DataAttribute.VALUE) return;
        const start = inner + ATTRIBUTE_HEADER;
        const length = this.#contentEnd - start;
        if (type === ElementAttribute.KEY) {
          this.keyStart = start;
          this.keyLength = length;
        } else {
          this.valueStart = start;
          this.valueLength = length;
        }
      } else if (type === ElementAttribute.USERDATA) {
        comments++;
        if (!this.#readComment(at + ATTRIBUTE_HEADER, this.#contentEnd)) return;
      } else if (NOT_PLAIN.has(type)) return;
      at = next;
    }
    this.isPlain = this.keyLength !== NONE && comments === 0;
    this.isCommented = this.keyLength !== NONE && comments === 1;
  }

  /** A type, a length, and text with a NUL at its end: elements.ts. */
  #readComment(start: number, end: number): boolean {
    const bytes = this.#bytes;
    this.commentStart = start + COMMENT_HEADER;
    this.commentLength = end - start - COMMENT_HEADER - 1;
    return (
      this.commentLength > 0 &&
      bytes[start] === COMMENT &&
      bytes[start + 1] === this.commentLength + 1 &&
      bytes[end - 1] === 0
    );
  }

  /** Reads the header at `at`; returns where the next attribute begins, or NONE when this one cannot be. */
  #look(at: number, limit: number): number {
    const bytes = this.#bytes;
    const left = limit - at;
    if (left < ATTRIBUTE_HEADER) return NONE;
    const length = u16(bytes, at);
    if (length < ATTRIBUTE_HEADER || length > left) return NONE;
    this.#type = u16(bytes, at + 2) & ATTRIBUTE_TYPE_MASK;
    this.#contentEnd = at + length;
    return at + ((length + 3) & ~3);
  }
}

function u16(bytes: Uint8Array, at: number): number {
  const [first, second] = [bytes[at] ?? 0, bytes[at + 1] ?? 0];
  return HOST_IS_LITTLE_ENDIAN ? first | (second << 8) : (first << 8) | second;
}

/** One for all: answers that have one element each come by the hundred thousand. */
const DIGESTING = new ElementCursor();
