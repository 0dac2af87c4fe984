/** One thing that is wrong in a configuration. Faults are collected, so that a person sees all of them at once. */
export type FieldPath = readonly (string | number)[];

export interface ConfigFault {
  /** The field; [] is the whole configuration. */
  readonly path: FieldPath;
  /** Continues the sentence that the field's name begins: `must be above 0, not "0s"`. */
  readonly message: string;
  /** Other fields the finding rests on. When one of them is at fault itself, this finding would only mislead. */
  readonly because?: readonly FieldPath[];
  /** Line in the file when it is not the line of the field, for example of the second of two equal keys. */
  readonly line?: number;
}

/** `iptables.minSyncPeriod`, `nodePortAddresses[1]` */
export function formatPath(path: FieldPath): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${part}` : part),
    '',
  );
}

/** The path of a dotted name. */
export function pathOf(field: string): FieldPath {
  return field.split('.');
}

/** The value at a path of plain data; undefined when there is none. */
export function valueAt(value: unknown, path: FieldPath): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string | number, unknown>)[part];
  }
  return at;
}

/** What was given, short enough for a message. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** Whether one of the paths is, contains, or is inside the other. */
export function pathsOverlap(a: FieldPath, b: FieldPath): boolean {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}
