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
  known.set(text, text);
  return text;
}
