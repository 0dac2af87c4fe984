/** Names for the network namespace that this process is in, for files that outlive processes. */
import { readFileSync, readlinkSync } from 'node:fs';
import { nativeAddon } from '../addon/nativeAddon.js';

/**
 * Never used for another namespace until the machine starts anew (SO_NETNS_COOKIE). Before Linux 5.14 it is made of the
 * inode number, which may be.
 */
export function networkNamespaceKey(): string {
  try {
    return String(nativeAddon().networkNamespaceCookie());
  } catch {
    return `inode-${inodeOf('/proc/self/ns/net')}`;
  }
}

let knownBootId: string | undefined;

/** Another one after each start of the machine, which no process outlives; '' where the kernel does not tell. */
export function bootId(): string {
  try {
    knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return knownBootId;
  } catch {
    return '';
  }
}

function inodeOf(namespace: string): string {
  try {
    return /\d+/.exec(readlinkSync(namespace))?.[0] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
