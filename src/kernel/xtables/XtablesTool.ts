/**
 * iptables-restore, iptables-save and iptables of one IP family and one backend. The only programs that penstock
 * starts: the matches of iptables have no other stable interface.
 */
import { messageOf, PenstockError } from '../../errors.js';
import type { IpFamily } from '../../net/ip.js';
import { legacyTables } from './legacyTables.js';
import { RestoreError } from './RestoreError.js';
import type { RestoreInput } from './RestoreInput.js';
import { type CommandResult, type ProgramRunner, runCommand } from './runCommand.js';

/** `nft`: the rules live in nf_tables. `legacy`: in the older ip_tables. Rules of one are invisible to the other. */
export type XtablesBackend = 'nft' | 'legacy';

export interface XtablesVersion {
  /** `1.8.9` */
  readonly text: string;
  readonly backend: XtablesBackend;
  /** MASQUERADE knows --random-fully (1.6.2). */
  readonly randomFully: boolean;
}

/** How long a tool may wait for /run/xtables.lock, in seconds. */
const LOCK_WAIT = '5';

export class XtablesTool {
  readonly family: IpFamily;
  readonly version: XtablesVersion;
  readonly #program: string;
  readonly #run: ProgramRunner;

  constructor(family: IpFamily, program: string, version: XtablesVersion, run: ProgramRunner) {
    this.family = family;
    this.version = version;
    this.#program = program;
    this.#run = run;
  }

  /** `program` is `iptables`, `ip6tables-legacy`, … Rejects with PENSTOCK_XTABLES_MISSING when it does not work. */
  static async open(
    family: IpFamily,
    program: string,
    run: ProgramRunner = runCommand,
  ): Promise<XtablesTool> {
    const remedy = 'Install iptables 1.6.2 or newer (Debian, Ubuntu: apt-get install iptables).';
    let result: CommandResult;
    try {
      result = await run(program, ['--version']);
    } catch (cause) {
      const message = `${program} cannot be started: ${messageOf(cause)}`;
      throw new PenstockError('PENSTOCK_XTABLES_MISSING', message, { cause, remedy });
    }
    const version = parseVersion(result.stdout);
    if (result.status !== 0 || !version) {
      const said = (result.stderr || result.stdout).trim();
      throw new PenstockError('PENSTOCK_XTABLES_MISSING', `${program} --version answered: ${said}`, {
        remedy,
      });
    }
    return new XtablesTool(family, program, version, run);
  }

  /** `iptables 1.8.9 (nft)`: for logs. */
  get description(): string {
    return `${this.#program} ${this.version.text} (${this.version.backend})`;
  }

  /** Resolves when the whole input was accepted. Rejects with RestoreError; sections before the failing one stay. */
  async restore(input: RestoreInput): Promise<void> {
    const args = ['-w', LOCK_WAIT, '--noflush', '--counters'];
    const result = await this.#run(`${this.#program}-restore`, args, { input: input.chunks() });
    if (result.status !== 0) throw new RestoreError(`${this.#program}-restore`, result, input);
  }

  /** Those that exist. */
  async tables(): Promise<readonly string[]> {
    if (this.version.backend === 'nft') return ['mangle', 'nat', 'filter'];
    return legacyTables(this.family);
  }

  /** The rules of one table as iptables-save prints them. */
  async save(table: string): Promise<string> {
    const result = await this.#run(`${this.#program}-save`, ['-t', table]);
    if (result.status !== 0) throw this.#failed(`${this.#program}-save -t ${table}`, result);
    return result.stdout;
  }

  /** The rules of all tables that exist, in one process. */
  async saveAll(): Promise<string> {
    const result = await this.#run(`${this.#program}-save`, []);
    if (result.status !== 0) throw this.#failed(`${this.#program}-save`, result);
    return result.stdout;
  }

  /** Whether a listing of the chain's rules succeeds; false when the table or chain does not exist. */
  async listChain(table: string, chain: string): Promise<readonly string[] | undefined> {
    const result = await this.#run(this.#program, ['-w', LOCK_WAIT, '-t', table, '-S', chain]);
    if (result.status === STATUS_NOT_FOUND) return undefined;
    if (result.status !== 0) throw this.#failed(`${this.#program} -t ${table} -S ${chain}`, result);
    return result.stdout.split('\n').filter((line) => line.startsWith('-A '));
  }

  #failed(command: string, result: CommandResult): PenstockError {
    const message = `${command} failed with status ${result.status}: ${result.stderr.trim()}`;
    return new PenstockError('PENSTOCK_XTABLES_FAILED', message);
  }
}

/** iptables exits with 1 when a chain or rule is not there, and with 2 to 4 on real trouble (4: resource problem). */
const STATUS_NOT_FOUND = 1;

function parseVersion(output: string): XtablesVersion | undefined {
  const found = /v(\d+)\.(\d+)(?:\.(\d+))?(?:\s+\((nf_tables|legacy)\))?/.exec(output);
  if (!found) return undefined;
  const [major = 0, minor = 0, patch = 0] = found.slice(1, 4).map((part) => Number(part ?? 0));
  const number = major * 1_000_000 + minor * 1000 + patch;
  return {
    text: `${major}.${minor}.${patch}`,
    backend: found[4] === 'nf_tables' ? 'nft' : 'legacy',
    randomFully: number >= 1_006_002,
  };
}
