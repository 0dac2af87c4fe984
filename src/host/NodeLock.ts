/**
 * Who serves this node: a lock in /run/penstock, one for each network namespace. The kernel lets go of it when its process
 * ends, however that ends.
 */

import {
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { messageOf, PenstockError } from '../errors.js';
import { lockFile, STATE_FOLDER } from '../kernel/host/stateFiles.js';
import { printable } from '../net/printable.js';
import { systemClock } from '../time/Clock.js';
import { isLocked, isThatFile, lockOrClose } from './fileLock.js';
import { lockHolder, PROGRAM } from './lockHolder.js';
import { mayServe } from './privileges.js';

export interface LockHolder {
  /** As seen from here; undefined: it is in another container, where this process cannot see it. */
  readonly pid: number | undefined;
  /** What the kernel calls that process; undefined as pid is. */
  readonly program: string | undefined;
  /** `penstock 0.1.0 (pid 4711, on host1, since 2026-11-28T20:00:00.000Z)`. */
  readonly description: string;
}

export type LockAttempt =
  | { readonly type: 'taken'; readonly lock: NodeLock }
  | { readonly type: 'held'; readonly holder: LockHolder }
  /** There is no place for locks, or none that this process may write to. */
  | { readonly type: 'impossible'; readonly why: string };

const MODE = 0o600;
/**
 * The network namespace itself. Locked beside the file, for whoever does not see that: /run may be read-only, or another in a
 * container. Anybody may lock it, so it keeps no agent from starting.
 */
const NAMESPACE = '/proc/self/ns/net';

export class NodeLock {
  readonly #fd: number;
  readonly #file: string;
  readonly #namespace: () => void;

  /** `version`: of penstock, for whoever finds the lock taken. */
  static take(version: string, folder = STATE_FOLDER): LockAttempt {
    const file = lockFile(folder);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o755 });
      for (;;) {
        const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, MODE);
        const taken = lockOrClose(fd);
        if (!taken) return { type: 'held', holder: holderOf(file) };
        // Whoever had it may have removed the file between our opening and our locking it.
        if (isThatFile(fd, file)) return { type: 'taken', lock: new NodeLock(fd, file, version) };
        closeSync(fd);
      }
    } catch (error) {
      return { type: 'impossible', why: messageOf(error) };
    }
  }

  /** Without a place for the file: only cleanup notices. Answers how to let go. */
  static takeNamespace(): () => void {
    try {
      const fd = openSync(NAMESPACE, constants.O_RDONLY);
      return lockOrClose(fd) ? () => closeSync(fd) : () => {};
    } catch {
      return () => {};
    }
  }

  /** Undefined: nobody serves here. Of the namespace only a penstock that is seen counts, and may serve: anybody may take that name. */
  static holder(folder = STATE_FOLDER): LockHolder | undefined {
    const holder = NodeLock.#holderOf(lockFile(folder));
    if (holder !== undefined) return holder;
    const unseen = NodeLock.#holderOf(NAMESPACE);
    if (unseen?.pid === undefined || unseen.program !== PROGRAM) return undefined;
    return mayServe(unseen.pid) === 'no' ? undefined : unseen;
  }

  static #holderOf(file: string): LockHolder | undefined {
    return isLocked(file, file === NAMESPACE ? 0 : constants.O_NOFOLLOW) ? holderOf(file) : undefined;
  }

  private constructor(fd: number, file: string, version: string) {
    this.#fd = fd;
    this.#file = file;
    this.#namespace = NodeLock.takeNamespace();
    const record = {
      pid: process.pid,
      host: hostname(),
      since: new Date(systemClock.date()).toISOString(),
      version,
    };
    try {
      ftruncateSync(fd);
      writeSync(fd, `${JSON.stringify(record)}\n`, 0);
    } catch {
      // Only the lock counts: on a full disk nobody reads who has it.
    }
  }

  release(): void {
    try {
      unlinkSync(this.#file);
    } catch {
      // Only the lock counts.
    }
    closeSync(this.#fd);
    this.#namespace();
  }
}

/** Something that is no penstock has the lock: nothing to talk to, and not ours to end. */
export function isStranger({ program }: LockHolder): boolean {
  return program !== undefined && program !== PROGRAM;
}

/** PENSTOCK_NODE_HELD. `remedy`: what to do about a penstock. */
export function nodeHeld(holder: LockHolder, remedy: string): PenstockError {
  const { pid, program = '', description } = holder;
  if (!isStranger(holder))
    return new PenstockError('PENSTOCK_NODE_HELD', `${description} serves this node already`, { remedy });
  const message = `${printable(program)} (pid ${pid}), which is no penstock, has the lock of this node: ${lockFile()}`;
  return new PenstockError('PENSTOCK_NODE_HELD', message, {
    remedy: `See what it is (ps -fp ${pid}); when it is not needed, end it.`,
  });
}

function holderOf(file: string): LockHolder {
  const record = readRecord(file);
  const { pid, program } = lockHolder(file) ?? { pid: undefined, program: undefined };
  const known = pid ?? `${String(record.pid ?? '?')} in its container`;
  const facts = [
    `pid ${known}`,
    ...(typeof record.host === 'string' ? [`on ${record.host}`] : []),
    ...(typeof record.since === 'string' ? [`since ${record.since}`] : []),
  ];
  const version = typeof record.version === 'string' ? ` ${record.version}` : '';
  return { pid, program, description: printable(`penstock${version} (${facts.join(', ')})`) };
}

function readRecord(file: string): Readonly<Record<string, unknown>> {
  try {
    const record: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof record === 'object' && record !== null ? (record as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
