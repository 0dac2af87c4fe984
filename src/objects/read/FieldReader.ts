/**
 * Checked access to the fields of decoded JSON or YAML.
 *
 * Readers never throw. A value of the wrong type is a fault, noted with its path, and the fallback stands in for it,
 * so that one pass finds every fault of an object. null means absent, as for the API server.
 * Paths are put together only when a message needs one: reading a good object must cost next to nothing.
 */
import type { ReservedAddresses } from '../addresses.js';
import { FaultList, quote } from './FaultList.js';

export type RawObject = Readonly<Record<string, unknown>>;

/** What was found wrong while reading one object. */
export class Findings {
  /** The object cannot be used. */
  readonly faults = new FaultList();
  /** An item of the object is left out, or the whole object is left alone. */
  readonly warnings = new FaultList();
  readonly reservedAddresses: ReservedAddresses;

  constructor(reservedAddresses: ReservedAddresses = 'refused') {
    this.reservedAddresses = reservedAddresses;
  }
}

export function isRawObject(value: unknown): value is RawObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const NOTHING: RawObject = {};
const NO_READERS: readonly FieldReader[] = [];
const NO_TEXTS: readonly string[] = [];

export class FieldReader {
  readonly fields: RawObject;
  readonly findings: Findings;
  readonly #parent: FieldReader | undefined;
  readonly #name: string;
  /** Position in the list `#name`; -1 when this is no item of a list. */
  readonly #index: number;

  constructor(fields: RawObject, findings: Findings, parent?: FieldReader, name = '', index = -1) {
    this.fields = fields;
    this.findings = findings;
    this.#parent = parent;
    this.#name = name;
    this.#index = index;
  }

  /** `spec.ports[1]`, or `spec.ports[1].port` for a field. */
  path(name?: string): string {
    const own = this.#index < 0 ? this.#name : `${this.#name}[${this.#index}]`;
    const parent = this.#parent?.path() ?? '';
    const path = parent && own ? `${parent}.${own}` : parent || own;
    if (name === undefined) return path;
    // Keys of labels and annotations contain dots and slashes themselves.
    if (name.includes('/')) return `${path}[${name}]`;
    return path ? `${path}.${name}` : name;
  }

  has(name: string): boolean {
    const value = this.fields[name];
    return value !== undefined && value !== null;
  }

  /** Absent, or a list without items. */
  isEmpty(name: string): boolean {
    const value = this.fields[name];
    return !this.has(name) || (Array.isArray(value) && value.length === 0);
  }

  /** `spec.type is "Cluster", must be one of ...`; `expected` continues after "must be". */
  fault(name: string, expected: string, value: unknown = this.fields[name]): void {
    const found = value === undefined || value === null ? 'is missing' : `is ${quote(value)}`;
    this.findings.faults.add(`${this.path(name)} ${found}, must be ${expected}`);
  }

  /** `consequence` says why and what is done about it. */
  warn(name: string, value: unknown, consequence: string): void {
    const found = value === undefined || value === null ? 'is missing' : `is ${quote(value)}`;
    this.findings.warnings.add(`${this.path(name)} ${found}, ${consequence}`);
  }

  /** '' when absent. */
  text(name: string): string {
    return this.optionalText(name) ?? '';
  }

  optionalText(name: string): string | undefined {
    const value = this.fields[name];
    if (typeof value === 'string') return value;
    if (value !== undefined && value !== null) this.fault(name, textExpected(value));
    return undefined;
  }

  boolean(name: string, absent: boolean): boolean {
    const value = this.fields[name];
    if (typeof value === 'boolean') return value;
    if (value !== undefined && value !== null) this.fault(name, 'true or false');
    return absent;
  }

  /** An integer within the bounds, both included. */
  integer(name: string, min: number, max: number, absent: number): number {
    const value = this.fields[name];
    if (value === undefined || value === null) return absent;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    this.fault(name, typeof value === 'number' ? `${min} to ${max}` : `a number, ${min} to ${max}`);
    return absent;
  }

  /** One of the texts; an empty text counts as absent. */
  choice<T extends string>(name: string, allowed: readonly T[], absent: T): T {
    const value = this.fields[name];
    if (value === undefined || value === null || value === '') return absent;
    for (const text of allowed) if (text === value) return text;
    this.fault(name, `one of ${allowed.join(', ')}`);
    return absent;
  }

  /** An absent object reads like an empty one. */
  object(name: string): FieldReader {
    const value = this.fields[name];
    if (isRawObject(value)) return new FieldReader(value, this.findings, this, name);
    if (value !== undefined && value !== null) this.fault(name, 'an object');
    return new FieldReader(NOTHING, this.findings, this, name);
  }

  objects(name: string): readonly FieldReader[] {
    const list = this.#list(name);
    if (list === undefined) return NO_READERS;
    const readers: FieldReader[] = [];
    for (let i = 0; i < list.length; i++) {
      const item: unknown = list[i];
      if (isRawObject(item)) readers.push(new FieldReader(item, this.findings, this, name, i));
      else this.fault(`${name}[${i}]`, 'an object', item);
    }
    return readers;
  }

  texts(name: string): readonly string[] {
    const list = this.#list(name);
    if (list === undefined) return NO_TEXTS;
    const texts: string[] = [];
    for (let i = 0; i < list.length; i++) {
      const item: unknown = list[i];
      if (typeof item === 'string') texts.push(item);
      else this.fault(`${name}[${i}]`, textExpected(item), item);
    }
    return texts;
  }

  #list(name: string): readonly unknown[] | undefined {
    const value = this.fields[name];
    if (Array.isArray(value)) return value.length === 0 ? undefined : value;
    if (value !== undefined && value !== null) this.fault(name, 'a list');
    return undefined;
  }
}

/** YAML reads 1 and true as something else than text, which is the usual cause. */
function textExpected(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? 'a string (put it in quotes)' : 'a string';
}
