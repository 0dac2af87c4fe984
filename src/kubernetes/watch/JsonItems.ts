/**
 * Takes a list apart while it arrives: `{"metadata":{...},"items":[{...},{...}]}`. Only one item is held as text at a time,
 * which keeps the peak of memory at a fraction of that of a whole page.
 */
import { joined, LONGEST_OBJECT, tooLong } from './JsonLines.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
/** Depth of the braces of an item: the list, `items`, the item. */
const ITEM_DEPTH = 3;

export class JsonItems {
  readonly #onItem: (item: unknown) => void;
  /** Everything that is no item. */
  readonly #envelope: Uint8Array[] = [];
  #item: Uint8Array[] = [];
  #length = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inItems = false;
  /** The last string at depth 1, while short: a name of a field. */
  #name = '';
  #naming = false;

  /** `onItem` gets each decoded item as it ends. */
  constructor(onItem: (item: unknown) => void) {
    this.#onItem = onItem;
  }

  /** Throws SyntaxError for an item that is no JSON. */
  push(chunk: Uint8Array): void {
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      let byte = chunk[i] as number;
      if (this.#inString) {
        if (!this.#naming && !this.#escaped) {
          // Most bytes are within strings: pass over them in a tight loop.
          while (byte !== QUOTE && byte !== BACKSLASH && i + 1 < chunk.length) byte = chunk[++i] as number;
        }
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) {
          this.#inString = false;
          this.#naming = false;
        } else if (this.#naming && this.#name.length < 8) this.#name += String.fromCharCode(byte);
        continue;
      }
      if (byte === QUOTE) {
        this.#inString = true;
        if (this.#depth === 1) {
          this.#naming = true;
          this.#name = '';
        }
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        this.#depth++;
        if (this.#depth === 2 && byte === OPEN_BRACKET && this.#name === 'items') {
          this.#inItems = true;
          this.#keep(this.#envelope, chunk, start, i + 1);
          start = i + 1;
        } else if (this.#inItems && this.#depth === ITEM_DEPTH) start = i;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (this.#inItems && this.#depth === ITEM_DEPTH) {
          this.#keep(this.#item, chunk, start, i + 1);
          const text = joined(this.#item);
          this.#item = [];
          this.#length = 0;
          start = i + 1;
          this.#onItem(JSON.parse(text));
        } else if (this.#inItems && this.#depth === 2) {
          this.#inItems = false;
          start = i;
        }
        this.#depth--;
      }
    }
    if (this.#inItems && this.#depth < ITEM_DEPTH) return;
    this.#keep(this.#inItems ? this.#item : this.#envelope, chunk, start, chunk.length);
  }

  /** The list without its items. Throws SyntaxError when it is not whole. */
  end(): unknown {
    return JSON.parse(joined(this.#envelope));
  }

  #keep(parts: Uint8Array[], chunk: Uint8Array, from: number, to: number): void {
    this.#length += to - from;
    if (this.#length > LONGEST_OBJECT) throw tooLong();
    const whole = parts === this.#item && parts.length === 0 && chunk[to - 1] === CLOSE_BRACE;
    // What outlives the chunk is copied.
    parts.push(whole ? chunk.subarray(from, to) : Uint8Array.prototype.slice.call(chunk, from, to));
  }
}
