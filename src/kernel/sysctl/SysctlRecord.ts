/**
 * What kernel parameters were before penstock changed them: a file for each network namespace, as most parameters belong to
 * one. It is believed only when root, or this user, wrote it, for this namespace, since the machine was started.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { bootId, networkNamespaceKey } from '../host/networkNamespaceKey.js';

export interface ChangedSysctl {
  readonly before: string;
  readonly ours: string;
}

/** By name with slashes: `net/ipv4/conf/all/route_localnet`. */
export type ChangedSysctls = Readonly<Record<string, ChangedSysctl>>;

/** What penstock sets lies below net/. No part of a name is `..`. */
const NAME = /^net(\/(?!\.{1,2}(\/|$))[\w.@:-]+)+$/;
/** Values are words and numbers. */
const VALUE = /^[\w .,:\t-]{0,200}$/;
const LONGEST_FILE = 1_000_000;

export function isSysctlName(name: string): boolean {
  return NAME.test(name);
}

export class SysctlRecord {
  readonly #folder: string;
  readonly #file: string;
  readonly #owner = { boot: bootId(), namespace: networkNamespaceKey() };

  constructor(folder: string) {
    this.#folder = folder;
    this.#file = join(folder, `sysctl-${this.#owner.namespace}.json`);
  }

  read(): ChangedSysctls {
    try {
      const { boot, namespace, changed } = JSON.parse(readTrusted(this.#file)) as Record<string, unknown>;
      const isOurs = boot === this.#owner.boot && namespace === this.#owner.namespace;
      return isOurs && typeof changed === 'object' && changed !== null ? valid(changed) : {};
    } catch {
      return {};
    }
  }

  /** A folder that cannot be written costs only the ability to put values back. */
  write(changed: ChangedSysctls): void {
    const temporary = `${this.#file}.${process.pid}`;
    try {
      if (Object.keys(changed).length === 0) {
        rmSync(this.#file, { force: true });
        return;
      }
      mkdirSync(this.#folder, { recursive: true, mode: 0o755 });
      rmSync(temporary, { force: true });
      writeWhole(temporary, JSON.stringify({ ...this.#owner, changed }));
      renameSync(temporary, this.#file);
    } catch {
      // As said above. Where the folder is no folder there is nothing to take away either.
      try {
        rmSync(temporary, { force: true });
      } catch {}
    }
  }
}

/** Throws when it is not there, or when others may have written it. */
function readTrusted(file: string): string {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { uid, mode, size } = fstatSync(fd);
    const isOthers = uid !== 0 && uid !== process.geteuid?.();
    if (isOthers || (mode & 0o022) !== 0 || size > LONGEST_FILE) throw new Error('not to be trusted');
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function writeWhole(file: string, text: string): void {
  const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function valid(changed: object): ChangedSysctls {
  const entries = Object.entries(changed).filter(
    (entry): entry is [string, ChangedSysctl] =>
      isSysctlName(entry[0]) &&
      typeof entry[1] === 'object' &&
      entry[1] !== null &&
      [entry[1].before, entry[1].ours].every((value) => typeof value === 'string' && VALUE.test(value)),
  );
  return Object.fromEntries(entries);
}
