/** What the kernel has of one family when it is read: at start, after trouble, and in a thorough verification. */
import type { RealServerState } from '../../../kernel/ipvs/RealServer.js';
import type { VirtualServer } from '../../../kernel/ipvs/VirtualServer.js';
import type { IpAddress } from '../../../net/ip.js';
import type { SetName } from '../desired/sets.js';

export interface PresentServer {
  readonly server: VirtualServer;
  /** By target. Not read, and so empty, for those that are not ours. */
  readonly realServers: ReadonlyMap<string, RealServerState>;
}

export interface Present {
  /** By key. */
  readonly servers: ReadonlyMap<string, PresentServer>;
  /** Keys of those that are ours. */
  readonly ours: ReadonlySet<string>;
  /** The sets that exist: their elements, with their marks where they have any. */
  readonly sets: ReadonlyMap<SetName, ReadonlyMap<string, number | undefined>>;
  /** On kube-ipvs0. */
  readonly addresses: ReadonlySet<IpAddress>;
}

/** A kernel without anything. */
export const NOTHING: Present = {
  servers: new Map(),
  ours: new Set(),
  sets: new Map(),
  addresses: new Set(),
};
