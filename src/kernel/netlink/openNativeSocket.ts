/** A netlink socket of the kernel. */
import type { NativeSocket, NativeSocketOptions } from '../addon/NativeSocket.js';
import { nativeAddon } from '../addon/nativeAddon.js';

/** `protocol` is one of NetlinkProtocol. Throws as the system call does, or PENSTOCK_NATIVE_MISSING. */
export function openNativeSocket(protocol: number, options: NativeSocketOptions = {}): NativeSocket {
  const { NetlinkSocket } = nativeAddon();
  return new NetlinkSocket(protocol, options);
}
