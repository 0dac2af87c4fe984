/**
 * Kernel parameters under /proc/sys. What was there before is recorded, so that `penstock cleanup` can put it back.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, PenstockError } from '../../errors.js';
import { STATE_FOLDER } from '../host/stateFiles.js';
import { type ChangedSysctl, isSysctlName, SysctlRecord } from './SysctlRecord.js';

export interface RestoredSysctls {
  readonly restored: readonly string[];
  /** PENSTOCK_SYSCTL_FAILED of those that could not be put back; they stay recorded. */
  readonly failed: readonly PenstockError[];
}

export class Sysctls {
  readonly #root: string;
  readonly #record: SysctlRecord;

  constructor(stateFolder = STATE_FOLDER, root = '/proc/sys') {
    this.#root = root;
    this.#record = new SysctlRecord(stateFolder);
  }

  /** Trimmed; undefined when this kernel does not have the parameter. */
  read(name: string): string | undefined {
    try {
      return readFileSync(this.#path(name), 'utf8').trim();
    } catch {
      return undefined;
    }
  }

  /** Writes only on difference. Throws PENSTOCK_SYSCTL_FAILED with the parameter's name. */
  ensure(name: string, value: string): 'written' | 'unchanged' {
    const before = this.read(name);
    if (before === value) return 'unchanged';
    const changed = this.#record.read();
    // Recorded first: whatever ends the process between the two, the value before is known.
    if (before !== undefined)
      this.#record.write({ ...changed, [name]: { before: changed[name]?.before ?? before, ours: value } });
    try {
      writeFileSync(this.#path(name), value);
    } catch (cause) {
      if (before !== undefined) this.#record.write(changed);
      throw failed(name, value, cause);
    }
    return 'written';
  }

  /** Puts back what ensure() changed, all of it or the parameters named, unless somebody changed it since. */
  restore(names?: readonly string[]): RestoredSysctls {
    const recorded = this.#record.read();
    const left: Record<string, ChangedSysctl> = { ...recorded };
    const restored: string[] = [];
    const failures: PenstockError[] = [];
    for (const name of names ?? Object.keys(left)) {
      const entry = left[name];
      if (entry === undefined) continue;
      try {
        if (this.read(name) === entry.ours && entry.before !== entry.ours) {
          writeFileSync(this.#path(name), entry.before);
          restored.push(name);
        }
        delete left[name];
      } catch (cause) {
        failures.push(failed(name, entry.before, cause));
      }
    }
    if (Object.keys(left).length < Object.keys(recorded).length) this.#record.write(left);
    return { restored, failed: failures };
  }

  #path(name: string): string {
    if (!isSysctlName(name)) throw new TypeError(`${JSON.stringify(name)} is no kernel parameter of ours`);
    return join(this.#root, name);
  }
}

function failed(name: string, value: string, cause: unknown): PenstockError {
  const dotted = name.replaceAll('/', '.');
  const message = `sysctl ${dotted} cannot be set to ${value}: ${messageOf(cause)}`;
  const remedy = `Set it on the host (sysctl -w ${dotted}=${value}) or give penstock a writable /proc/sys.`;
  return new PenstockError('PENSTOCK_SYSCTL_FAILED', message, { cause, remedy });
}
