/** Whether two objects are equal in everything that is used, so that a change of other fields is no change. */
import type { ApiObject } from './ApiObject.js';

export function sameObject(a: ApiObject, b: ApiObject): boolean {
  return same(a, b);
}

/** Deep equality of plain data: an added field of the object types is compared without a line here. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && sameList(a, b);
  return !Array.isArray(b) && sameFields(a as Fields, b as Fields);
}

type Fields = Readonly<Record<string, unknown>>;

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!same(a[i], b[i])) return false;
  return true;
}

function sameFields(a: Fields, b: Fields): boolean {
  let count = 0;
  for (const name in a) {
    if (!same(a[name], b[name]) || !Object.hasOwn(b, name)) return false;
    count++;
  }
  for (const _ in b) count--;
  return count === 0;
}
