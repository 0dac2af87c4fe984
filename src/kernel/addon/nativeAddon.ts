/** Loads what native/ builds. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { messageOf, PenstockError } from '../../errors.js';
import { installationFolder } from './installationFolder.js';
import type { NativeBfd } from './NativeBfd.js';
import type { NativeChoice, NativeChoiceOptions } from './NativeChoice.js';
import type { NativeEngine, NativeEngineOptions } from './NativeEngine.js';
import type { NativeHold, NativeHoldOptions } from './NativeHold.js';
import type { AnnounceModel, AnnounceOptions, NativeResponder } from './NativeResponder.js';
import type { NativeSocket, NativeSocketOptions } from './NativeSocket.js';

export interface NativeAddon {
  readonly NetlinkSocket: new (protocol: number, options?: NativeSocketOptions) => NativeSocket;
  readonly ProxyEngine: new (options: NativeEngineOptions) => NativeEngine;
  readonly ChoiceQueue: new (options: NativeChoiceOptions) => NativeChoice;
  /** `onEvents` is called when there is something to take; it does not keep the process alive. */
  readonly HoldQueue: new (
    options: NativeHoldOptions,
    onEvents: () => void,
  ) => NativeHold;
  /** `onEvents` is called when there is something to take; it does not keep the process alive. */
  readonly AnnounceResponder: new (
    options: AnnounceOptions,
    onEvents: () => void,
  ) => NativeResponder;
  /** `onChanges` is called when there is something to take; it does not keep the process alive. */
  readonly BfdEngine: new (
    onChanges: () => void,
  ) => NativeBfd;
  readonly AnnounceModel: new (node: string, everyMs: number, lost: number) => AnnounceModel;
  /**
   * A TCP socket that is not connected, with MD5 (RFC 2385; '' for none) and TTLs (0: as the system has them). Bytes of
   * addresses; no `source`: the kernel chooses. Throws as in Node.
   */
  readonly bgpSocket: (
    peer: Uint8Array,
    source: Uint8Array,
    key: string,
    ttl: number,
    minTtl: number,
  ) => number;
  /** native/xtables_info.h. Throws as in Node: `code` ENOENT without such a table. */
  readonly xtablesInfo: (
    family: 4 | 6,
    table: string,
  ) => { readonly entries: number; readonly bytes: number };
  /** native/reduce_capabilities.h. Returns, or the program begins again; throws as in Node when it cannot. */
  readonly reduceCapabilities: (keep: number, argv: readonly string[]) => void;
  /** native/lookup/socket_lookup.h. Throws as in Node: EPERM without CAP_BPF and CAP_NET_ADMIN, EINVAL before Linux 5.9. */
  readonly probeSocketLookup: () => void;
  /** native/node_lock.h. False when another open file has the lock; throws as in Node when there are no locks. */
  readonly lockFile: (fd: number) => boolean;
  /** native/node_lock.h. Throws as in Node before Linux 5.14. */
  readonly networkNamespaceCookie: () => bigint;
  /** native/notify_socket.h. One datagram; throws as in Node when nobody takes it. */
  readonly sendToUnixSocket: (address: string, text: string) => void;
  /** native/give_back.h. How many bytes of files were resident before. */
  readonly giveBackMemory: () => number;
}

const ADDON_FILE = fileURLToPath(new URL('build/Release/penstock.node', installationFolder(import.meta.url)));

const WATCHDOG_FILE = fileURLToPath(
  new URL('build/Release/penstock-watchdog', installationFolder(import.meta.url)),
);

let loaded: NativeAddon | undefined;

/** Loaded at the first call. Throws PENSTOCK_NATIVE_MISSING. */
export function nativeAddon(): NativeAddon {
  loaded ??= loadAddon(ADDON_FILE);
  return loaded;
}

/** The program of native/watchdog/, built with the addon; '' where it is not. */
export function watchdogProgram(): string {
  return existsSync(WATCHDOG_FILE) ? WATCHDOG_FILE : '';
}

/** Throws PENSTOCK_NATIVE_MISSING when the addon was not built or does not fit this system. */
export function loadAddon(file: string): NativeAddon {
  try {
    return createRequire(import.meta.url)(file) as NativeAddon;
  } catch (cause) {
    const why = existsSync(file) ? `cannot be loaded: ${messageOf(cause)}` : 'has not been built';
    throw new PenstockError('PENSTOCK_NATIVE_MISSING', `the native addon ${file} ${why}`, {
      cause,
      remedy: 'Run npm run build:native; it needs g++, make, python3 and the headers of Node.',
    });
  }
}
