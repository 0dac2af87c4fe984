/**
 * A refusal by iptables-restore, with the line that it names, as far as it names one. Lines count over the whole input;
 * sections before the failing one are in force, those after it were not read.
 *
 * What the backends of 1.8.9 say (all measured, docs/iptables-restore.md):
 *   nft, kernel      status 4  `…(nf_tables): \nline 8: RULE_APPEND failed (No such file or directory): rule in chain X`
 *   nft, missing     status 1  `…: line 8 failed: No chain/target/match by that name.`
 *   both, text       status 2  `…\nError occurred at line: 8`
 *   legacy, kernel   status 1  `iptables-restore: line 40 failed`, and 40 is the COMMIT: the culprit is not named
 *   both, lock       status 4  `Another app is currently holding the xtables lock…`, no line
 */
import { PenstockError } from '../../errors.js';
import type { RestoreInput } from './RestoreInput.js';
import type { CommandResult } from './runCommand.js';

export class RestoreError extends PenstockError {
  /** The input's line, from 1; undefined when the tool names none. */
  readonly line: number | undefined;
  /** The text of that line. */
  readonly lineText: string | undefined;
  /** The owner of that line: the key of a service port. Undefined: unknown, or nobody in particular. */
  readonly owner: string | undefined;
  /** The tool could not get the lock or memory: the same input may succeed later. */
  readonly transient: boolean;

  constructor(program: string, result: CommandResult, input: RestoreInput) {
    const said = result.stderr.trim();
    const number = /line:? (\d+)/.exec(said)?.[1];
    const line = number === undefined ? undefined : Number(number);
    const found = line === undefined ? undefined : input.find(line);
    const at = found ? `; line ${line} is: ${found.text}` : '';
    super('PENSTOCK_RESTORE_REFUSED', `${program} refused the rules (status ${result.status}): ${said}${at}`);
    this.line = line;
    this.lineText = found?.text;
    this.owner = found?.segment.owner;
    this.transient = result.status === STATUS_RESOURCE_PROBLEM && line === undefined;
  }
}

const STATUS_RESOURCE_PROBLEM = 4;
