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
 *   both, killed     status 128 + signal, nothing said
 */
import { constants } from 'node:os';
import { PenstockError } from '../../errors.js';
import type { RestoreInput } from './RestoreInput.js';
import { type CommandResult, STATUS_OF_SIGNAL } from './runCommand.js';

export class RestoreError extends PenstockError {
  /** The input's line, from 1; undefined when the tool names none. */
  readonly line: number | undefined;
  /** The text of that line. */
  readonly lineText: string | undefined;
  /** The owner of that line: the key of a service port. Undefined: unknown, or nobody in particular. */
  readonly owner: string | undefined;
  /** The tool got no lock or no memory, or somebody ended it: nothing is said of the rules, and they may succeed later. */
  readonly transient: boolean;

  constructor(program: string, result: CommandResult, input: RestoreInput) {
    const said = result.stderr.trim();
    const number = /line:? (\d+)/.exec(said)?.[1];
    const line = number === undefined ? undefined : Number(number);
    const found = line === undefined ? undefined : input.find(line);
    const at = found ? `; line ${line} is: ${found.text}` : '';
    const signal = ENDED.get(result.status);
    const words = signal
      ? `${program} was ended by ${signal} before it was done`
      : `${program} refused the rules (status ${result.status}): ${said}${at}`;
    super('PENSTOCK_RESTORE_REFUSED', words);
    this.line = line;
    this.lineText = found?.text;
    this.owner = found?.segment.owner;
    const gotNothing = result.status === STATUS_RESOURCE_PROBLEM && line === undefined;
    this.transient = gotNothing || signal !== undefined || SHORTAGE.test(said);
  }
}

const STATUS_RESOURCE_PROBLEM = 4;
/** Signals that others send. One that the rules themselves cause, like SIGSEGV, counts as a refusal. */
const ENDED = new Map(
  (['SIGHUP', 'SIGINT', 'SIGKILL', 'SIGPIPE', 'SIGALRM', 'SIGTERM'] as const).map((name) => [
    STATUS_OF_SIGNAL + constants.signals[name],
    name,
  ]),
);
/** Words of the C library in the locale C for errors that pass: ENOMEM, ENOBUFS, EAGAIN, EBUSY, EINTR, EMFILE, ENFILE. */
const SHORTAGE =
  /Cannot allocate memory|No buffer space available|Resource temporarily unavailable|Device or resource busy|Interrupted system call|Too many open files/;
