/** What the responder is told, as records of 28 bytes (native/announce/records.cc). */
import { type IpAddress, ipToBytes } from '../../net/ip.js';

export type Order = { readonly interface: number; readonly address: IpAddress } & (
  | { readonly command: 'observe' | 'release' | 'forget' | 'announce' }
  | { readonly command: 'cede'; readonly withinMs: number }
  | {
      readonly command: 'claim';
      /** Peers that end the claim when they answer. Otherwise it is announced, and who comes first on the wire keeps it. */
      readonly giveWay: GiveWay;
      readonly probes: number;
      /** From one probe to the next, and from the last to the announcement. */
      readonly intervalMs: number;
    }
);

/** To peers that come before this node on the wire, or to any. */
export type GiveWay = 'to nobody' | 'to first' | 'to all';

const GIVE_WAY = ['to nobody', 'to first', 'to all'] as const;
const COMMANDS = ['observe', 'claim', 'cede', 'release', 'forget', 'announce'] as const;
const RECORD = 28;

export function encodeOrders(orders: readonly Order[]): Uint8Array {
  const bytes = new Uint8Array(orders.length * RECORD);
  const view = new DataView(bytes.buffer);
  for (const [i, order] of orders.entries()) {
    const at = i * RECORD;
    const address = ipToBytes(order.address);
    bytes[at] = COMMANDS.indexOf(order.command);
    bytes[at + 1] = address.length === 4 ? 4 : 6;
    view.setUint32(at + 4, order.interface);
    if (order.command === 'claim') {
      bytes[at + 2] = GIVE_WAY.indexOf(order.giveWay);
      bytes[at + 3] = order.probes;
      view.setUint32(at + 8, order.intervalMs);
    } else if (order.command === 'cede') view.setUint32(at + 8, order.withinMs);
    bytes.set(address, at + 12);
  }
  return bytes;
}
