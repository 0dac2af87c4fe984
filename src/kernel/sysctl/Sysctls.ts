/**
 * Kernel parameters under /proc/sys. What was there before is recorded, so that `penstock cleanup` can put it back.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, PenstockError } from '../../errors.js';
import { networkNamespaceId } from '../host/networkNamespaceId.js';

/** By name with slashes: `net/ipv4/conf/all/route_localnet`. */
type SysctlRecord = Record<string, { readonly before: string; readonly ours: string }>;

export class Sysctls {
  readonly #root: string;
  readonly #recordFile: string;

  /** `stateDir` holds one record for each network namespace, because most parameters belong to one. */
  constructor(stateDir = '/run/penstock', root = '/proc/sys') {
    this.#root = root;
    this.#recordFile = join(stateDir, `sysctl-${networkNamespaceId()}.json`);
  }

  /** Trimmed; undefined when this kernel does not have the parameter. */
  read(name: string): string | undefined {
    try {
      return readFileSync(join(this.#root, name), 'utf8').trim();
    } catch {
      return undefined;
    }
  }

  /** Writes only on difference. Throws PENSTOCK_SYSCTL_FAILED with the parameter's name. */
  ensure(name: string, value: string): 'written' | 'unchanged' {
    const before = this.read(name);
    if (before === value) return 'unchanged';
    try {
      writeFileSync(join(this.#root, name), value);
    } catch (cause) {
      const message = `sysctl ${name.replaceAll('/', '.')} cannot be set to ${value}: ${messageOf(cause)}`;
      const remedy = `Set it on the host (sysctl -w ${name.replaceAll('/', '.')}=${value}) or give penstock a writable /proc/sys.`;
      throw new PenstockError('PENSTOCK_SYSCTL_FAILED', message, { cause, remedy });
    }
    if (before !== undefined) this.#record(name, before, value);
    return 'written';
  }

  /**
   * Puts back what ensure() changed, all of it or the parameters named, unless somebody changed it since. Returns the
   * names that were put back.
   */
  restore(names?: readonly string[]): string[] {
    const record = this.#recorded();
    const restored: string[] = [];
    for (const name of names ?? Object.keys(record)) {
      const entry = record[name];
      delete record[name];
      if (!entry || this.read(name) !== entry.ours) continue;
      writeFileSync(join(this.#root, name), entry.before);
      restored.push(name);
    }
    if (Object.keys(record).length === 0) rmSync(this.#recordFile, { force: true });
    else this.#save(record);
    return restored;
  }

  #record(name: string, before: string, ours: string): void {
    const record = this.#recorded();
    record[name] = { before: record[name]?.before ?? before, ours };
    this.#save(record);
  }

  #save(record: SysctlRecord): void {
    try {
      mkdirSync(join(this.#recordFile, '..'), { recursive: true });
      writeFileSync(this.#recordFile, JSON.stringify(record));
    } catch {
      // A read-only /run costs only the ability to put the old value back.
    }
  }

  #recorded(): SysctlRecord {
    try {
      return JSON.parse(readFileSync(this.#recordFile, 'utf8')) as SysctlRecord;
    } catch {
      return {};
    }
  }
}
