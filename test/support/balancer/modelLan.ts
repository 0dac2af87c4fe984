/** Nodes of the announcing machines on a LAN that is a list of frames in flight; time is a number. */
import { encodeOrders, type Order } from '../../../src/balancer/layer2/orders.js';
import { compareRank } from '../../../src/balancer/layer2/rendezvous.js';
import type { AnnounceEvent, AnnounceModel } from '../../../src/kernel/addon/NativeResponder.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { ipToBytes } from '../../../src/net/ip.js';
import { ip } from '../builders.js';
import { fromHex, toHex } from '../hex.js';

export const INTERFACE = 7;

export function macOfNode(i: number): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, 0, i);
}

export function addressOfNode(i: number): Uint8Array {
  return Uint8Array.of(192, 0, 2, i);
}

export function openModel(
  name: string,
  i: number,
  others: readonly (readonly [name: string, i: number])[],
): AnnounceModel {
  const model = new (nativeAddon().AnnounceModel)(name, 200, 5);
  model.setInterfaces([{ index: INTERFACE, mac: macOfNode(i), up: 1, linkLocal: new Uint8Array() }], 0);
  model.setPeers(
    others.map(([other, j]) => ({ name: other, address: addressOfNode(j), macs: [macOfNode(j)] })),
  );
  return model;
}

/** Frames that the model has sent since the last call. */
export function framesOf(model: AnnounceModel): Uint8Array[] {
  return model.takeFrames().filter((each): each is Uint8Array => typeof each !== 'number');
}

export function kindsOf(events: readonly AnnounceEvent[]): number[] {
  return events.map(({ kind }) => kind);
}

export const V4 = ip('192.0.2.100');
export const STRANGER = '0200000000ee';

/** A node among one that comes before it for the address, number 2, and one that comes after it, number 3. */
export function openAmong(address = V4) {
  const [before, self, after] = ['node1', 'node2', 'node3'].sort((a, b) => compareRank(address, a, b)) as [
    string,
    string,
    string,
  ];
  const model = openModel(self, 1, [
    [before, 2],
    [after, 3],
  ]);
  const run = (order: Omit<Order, 'interface' | 'address'>, now = 0) =>
    model.run(encodeOrders([{ ...order, interface: INTERFACE, address } as Order]), now);
  const claim = (giveWay: 'to nobody' | 'to first' | 'to all' = 'to all') =>
    run({ command: 'claim', giveWay, probes: 1, intervalMs: 100 } as Order);
  const own = () => {
    claim();
    model.advance(0);
    model.advance(100);
    framesOf(model);
    model.takeEvents();
  };
  const state = () => model.stateOf(INTERFACE, ipToBytes(address));
  return { model, run, claim, own, state };
}

/** An ARP packet in Ethernet, both without separators. */
export function arp(operation: 1 | 2, from: string, sender: string, target: string): Uint8Array {
  const hex = (address: string) => toHex(ipToBytes(ip(address)));
  const packet = `000108000604000${operation}${from}${hex(sender)}000000000000${hex(target)}`;
  return fromHex(`ffffffffffff${from}0806${packet}`);
}
