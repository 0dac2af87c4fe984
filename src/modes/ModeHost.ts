/** What a mode uses of the host, and what it gives. */

import type { Dataplane } from '../dataplane/Dataplane.js';
import type { WakeListener } from '../dataplane/wake/Holder.js';
import type { Sysctls } from '../kernel/sysctl/Sysctls.js';
import type { IpAddress } from '../net/ip.js';
import type { Clock } from '../time/Clock.js';

export interface ModeHost {
  readonly clock: Clock;
  readonly sysctls: Sysctls;
  /** The same array until they change. */
  readonly addresses: () => readonly IpAddress[];
  /** The addresses of this link are those of Services, not the host's own. */
  readonly ignoreLink: (index: number) => void;
  /** Group of nfnetlink_log that rules tell of packets that fail; 0 or absent: nobody listens. */
  readonly logGroup?: number;
  /** Hears whom first packets wait for; absent: nobody wakes anybody. */
  readonly waking?: WakeListener;
}

/** A mode of which nothing on the host is seen yet. */
export interface OpenMode {
  readonly dataplane: Dataplane;
  /** Sets what the mode needs of the host besides rules. Rejects when it cannot serve without. */
  readonly prepareHost: () => Promise<void>;
}

export const NOTHING_TO_PREPARE = async (): Promise<void> => {};
