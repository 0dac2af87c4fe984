/** What ../shared offers. The project must pass without it: tests that need it say so and are left out. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** From dist/test/support to the folder beside the repository. */
const SHARED = fileURLToPath(new URL('../../../../shared/', import.meta.url));

/** Options of a tap test that needs ../shared. */
export const needsShared = existsSync(SHARED) ? {} : { skip: '../shared is not here' };

export function sharedPath(path: string): string {
  return `${SHARED}${path}`;
}

export function readShared(path: string): string {
  return readFileSync(`${SHARED}${path}`, 'utf8');
}
