/** The URL of a file of the repository: `fromRoot('docs/metrics.md')`. This file runs as dist/test/support/fromRoot.js. */
export function fromRoot(path: string): URL {
  return new URL(`../../../${path}`, import.meta.url);
}
