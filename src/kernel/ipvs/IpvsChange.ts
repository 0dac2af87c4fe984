/** One change of the kernel's IPVS, as a value: it can be printed, compared and committed. One message each. */
import type { RealServer, RealServerId } from './RealServer.js';
import type { VirtualServer, VirtualServerId } from './VirtualServer.js';

export type IpvsChange =
  /** Refused with EEXIST when it is there, with ENOENT when the scheduler is not. */
  | { readonly action: 'add service'; readonly service: VirtualServer }
  /** Replaces scheduler, flags, timeout and netmask; its connections go on. ESRCH when it is not there. */
  | { readonly action: 'set service'; readonly service: VirtualServer }
  /** With all its destinations. ESRCH when it is not there. */
  | { readonly action: 'delete service'; readonly service: VirtualServerId }
  /** EEXIST when it is there. */
  | {
      readonly action: 'add destination';
      readonly service: VirtualServerId;
      readonly destination: RealServer;
    }
  /** Replaces weight, forwarding and thresholds. ENOENT when it is not there. */
  | {
      readonly action: 'set destination';
      readonly service: VirtualServerId;
      readonly destination: RealServer;
    }
  /** Its connections end, or move on, as the sysctls of net.ipv4.vs say. ENOENT when it is not there. */
  | {
      readonly action: 'delete destination';
      readonly service: VirtualServerId;
      readonly destination: RealServerId;
    };
