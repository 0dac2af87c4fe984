/** What mode ipvs asks and tells the kernel about one IP family. */
import type { IpvsChange } from '../../../kernel/ipvs/IpvsChange.js';
import type { RealServerState } from '../../../kernel/ipvs/RealServer.js';
import type { VirtualServerId } from '../../../kernel/ipvs/VirtualServer.js';
import type { NetlinkError } from '../../../kernel/netlink/NetlinkError.js';
import type { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import type { IpAddress, IpFamily } from '../../../net/ip.js';
import type { SetEntry } from '../desired/SetEntry.js';
import type { Present } from '../plan/Present.js';
import type { SavedRules } from '../rules/planRules.js';

export interface Refusal<Change> {
  readonly change: Change;
  readonly error: NetlinkError;
}

/** Whether to put it there or to take it away. To do what is done already is no error. */
export type Direction = 'add' | 'delete';

/** Every method rejects when the kernel cannot be asked at all. */
export interface FamilyKernel {
  readonly family: IpFamily;
  /**
   * Makes what is missing of kube-ipvs0 and the sets. Rejects with PENSTOCK_LINK_FOREIGN or PENSTOCK_IPSET_REFUSED when others are in the
   * way.
   */
  prepare(): Promise<void>;
  /** `knownOurs`: whether we remember having made the virtual server with that key. */
  read(knownOurs: (key: string) => boolean): Promise<Present>;
  changeServers(changes: readonly IpvsChange[]): Promise<readonly Refusal<IpvsChange>[]>;
  changeEntries(direction: Direction, entries: readonly SetEntry[]): Promise<readonly Refusal<SetEntry>[]>;
  changeAddresses(
    direction: Direction,
    addresses: readonly IpAddress[],
  ): Promise<readonly Refusal<IpAddress>[]>;
  /** None when there is no such virtual server. */
  realServers(server: VirtualServerId): Promise<readonly RealServerState[]>;
  readRules(): Promise<SavedRules>;
  /** Rejects with RestoreError. */
  writeRules(input: RestoreInput): Promise<void>;
}
