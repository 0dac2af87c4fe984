/** The inode number of this process's network namespace; `unknown` without /proc. */
import { readlinkSync } from 'node:fs';

export function networkNamespaceId(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
