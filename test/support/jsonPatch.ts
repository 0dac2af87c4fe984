/** The two kinds of patches that kubectl sends: RFC 7386, which stands for strategic ones too, and RFC 6902 (add, remove, replace). */

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `null` takes a field away. Lists whose elements have names are merged by those, as strategic patches do. */
export function merged(into: unknown, patch: unknown): unknown {
  if (
    Array.isArray(patch) &&
    Array.isArray(into) &&
    patch.every((each) => isObject(each) && 'name' in each)
  ) {
    const rest = patch.filter((each) => !into.some(({ name }) => name === each.name));
    const changed = into.map((each) => {
      const change = patch.find(({ name }) => name === each.name);
      return change === undefined ? each : merged(each, change);
    });
    return [...changed, ...rest];
  }
  if (!isObject(patch)) return patch;
  const result: Json = isObject(into) ? { ...into } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

/** Throws where a path leads nowhere, as an API server refuses it. */
export function jsonPatched(object: object, operations: readonly Operation[]): unknown {
  const result = structuredClone(object) as Json;
  for (const { op, path, value } of operations) {
    const keys = path
      .slice(1)
      .split('/')
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    let at: unknown = result;
    for (const key of keys) at = isObject(at) ? at[key] : undefined;
    if (!isObject(at) || (op !== 'add' && !(last in at)))
      throw new Error(`${op} ${path}: there is no such path`);
    if (op === 'remove') delete at[last];
    else at[last] = value;
  }
  return result;
}
