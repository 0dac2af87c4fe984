/** Writes the messages of ipset. */
import { MessageFlag } from '../netlink/constants.js';
import type { MessageWriter } from '../netlink/MessageWriter.js';
import { beginNetfilterMessage } from '../netlink/nfnetlink.js';
import { Command, CommandAttribute, DataAttribute, FAMILY, NETWORK_ORDER, WITH_MARKS } from './constants.js';
import { putElement } from './elements.js';
import type { SetChange } from './SetChange.js';
import { FIRST_PORT, HASH_SIZE, LAST_PORT, MOST_ELEMENTS, type SetSpec } from './SetSpec.js';

/** IPSET_MAXNAMELEN without the final NUL, bytes. */
const LONGEST_NAME = 31;

const COMMAND: Readonly<Record<SetChange['action'], number>> = {
  create: Command.CREATE,
  destroy: Command.DESTROY,
  flush: Command.FLUSH,
  add: Command.ADD,
  delete: Command.DELETE,
};

export interface Versions {
  /** Of the protocol between us and the kernel. */
  readonly protocol: number;
  /** Of a set's type. */
  revision(set: SetSpec): number;
}

/** Throws RangeError on a set name of 0 or over 31 bytes, and on what is no element of its set. */
export function putChange(writer: MessageWriter, versions: Versions, change: SetChange): void {
  // Without NLM_F_EXCL, what is there already, or gone already, is no error (ipset -exist).
  beginSetMessage(writer, COMMAND[change.action], versions.protocol);
  putSetName(writer, change.set.name);
  if (change.action === 'create') putSpec(writer, change.set, versions.revision(change.set));
  else if (change.action === 'add') putElement(writer, change.set.type, change.element, change.mark);
  else if (change.action === 'delete') putElement(writer, change.set.type, change.element);
  writer.endMessage();
}

/** Begins a message; attributes come next, then endMessage(). */
export function beginSetMessage(writer: MessageWriter, command: number, protocol: number): void {
  const flags = command === Command.CREATE ? MessageFlag.CREATE : 0;
  // Sets of both families: ipset itself says AF_INET always.
  beginNetfilterMessage(writer, command, flags, FAMILY.IPv4);
  writer.u8(CommandAttribute.PROTOCOL, protocol);
}

export function putSetName(writer: MessageWriter, name: string): void {
  const size = Buffer.byteLength(name);
  if (size === 0 || size > LONGEST_NAME) {
    throw new RangeError(`set ${JSON.stringify(name)}: a name has 1 to ${LONGEST_NAME} bytes, not ${size}`);
  }
  writer.string(CommandAttribute.SET_NAME, name);
}

/** AF_UNSPEC for types without addresses. */
export function familyNumber({ type, family }: Pick<SetSpec, 'type' | 'family'>): number {
  return type === 'bitmap:port' ? 0 : FAMILY[family];
}

function putSpec(writer: MessageWriter, set: SetSpec, revision: number): void {
  writer.string(CommandAttribute.TYPE_NAME, set.type);
  writer.u8(CommandAttribute.REVISION, revision);
  writer.u8(CommandAttribute.FAMILY, familyNumber(set));
  const nest = writer.openNest(CommandAttribute.DATA);
  if (set.extension === 'mark') writer.u32be(DataAttribute.FLAGS | NETWORK_ORDER, WITH_MARKS);
  if (set.type === 'bitmap:port') {
    writer.u16be(DataAttribute.PORT | NETWORK_ORDER, FIRST_PORT);
    writer.u16be(DataAttribute.LAST_PORT | NETWORK_ORDER, LAST_PORT);
  } else {
    writer.u32be(DataAttribute.HASH_SIZE | NETWORK_ORDER, HASH_SIZE);
    writer.u32be(DataAttribute.MOST_ELEMENTS | NETWORK_ORDER, MOST_ELEMENTS);
  }
  writer.closeNest(nest);
}
