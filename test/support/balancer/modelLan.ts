/** Nodes of the announcing machines on a LAN that is a list of frames in flight; time is a number. */
import type { AnnounceEvent, AnnounceModel } from '../../../src/kernel/addon/NativeResponder.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';

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
