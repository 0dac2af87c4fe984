/** Resource versions are numbers of any length that only grow, for one API server (KEP-5504). */
import { isRawObject } from '../../objects/read/FieldReader.js';

/** undefined when the object carries none. */
export function versionOf(raw: unknown): string | undefined {
  const metadata = isRawObject(raw) && isRawObject(raw.metadata) ? raw.metadata : {};
  const version = metadata.resourceVersion;
  return typeof version === 'string' && version !== '' ? version : undefined;
}

/** Whether a comes before b. Versions that are no numbers cannot be compared, and never do. */
export function isOlder(a: string, b: string): boolean {
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}
