/**
 * One copy of each repeated text. Node names and namespaces occur in every endpoint of a cluster; decoded JSON holds a
 * copy for each occurrence, which is megabytes at 100,000 endpoints.
 */
const LIMIT = 20_000;
const known = new Map<string, string>();

export function intern(text: string): string {
  const first = known.get(text);
  if (first !== undefined) return first;
  // Names come and go with their objects; starting over now and then bounds what is kept of the gone ones.
  if (known.size >= LIMIT) known.clear();
  known.set(flat(text), text);
  return text;
}

/**
 * The same text, for one that is kept: V8 holds what was put together as its parts, with 32 bytes for each +, until somebody
 * reads a character of it.
 */
export function flat(text: string): string {
  text.charCodeAt(0);
  return text;
}

const NONE: readonly never[] = [];

/** The same elements, for a list that is kept: one that grew by push() has room for 16 more. */
export function exact<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? NONE : list.slice();
}
