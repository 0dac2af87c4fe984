/** What the messages of a transaction are carried out on. */
import { constants } from 'node:os';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import type { Changes } from './Changes.js';
import type { Errno } from './ModelSocket.js';
import type { ModelTable } from './Ruleset.js';

/** By tableKey(). */
export type Tables = Map<string, ModelTable>;

export interface ChangeContext {
  readonly tables: Tables;
  readonly changes: Changes;
  /** Milliseconds. */
  readonly now: number;
  readonly nextHandle: () => number;
}

/** Thrown inside of a message, and answered. */
export class Refused extends Error {
  readonly errno: Errno;

  constructor(errno: Errno) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

export function refuse(errno: Errno): never {
  throw new Refused(errno);
}

export function tableKey(family: number, name: string): string {
  return `${family} ${name}`;
}

/** The family of a message: the first byte of its header. */
export function familyOf(message: Message): number {
  return message.payload[0] ?? 0;
}

/** Throws Refused. */
export function findTable(tables: Tables, family: number, name: string | undefined): ModelTable {
  if (name === undefined) refuse(constants.errno.EINVAL);
  return tables.get(tableKey(family, name)) ?? refuse(constants.errno.ENOENT);
}
