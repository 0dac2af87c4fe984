/** Removes the nftables tables of the modes, and nothing else. */
import { CHOICE_TABLE } from '../../dataplane/choice/choiceSets.js';
import { FAILURE_TABLE } from '../../dataplane/failures/failureSets.js';
import { TABLE } from '../../dataplane/nftables/desired/sets.js';
import { CAPTURE_TABLE } from '../../dataplane/userspace/CaptureView.js';
import { ACCEPT_TABLE } from '../../dataplane/wake/acceptSets.js';
import { HOLD_TABLE } from '../../dataplane/wake/holdSets.js';
import { removeTables } from '../../kernel/nftables/table/removeTables.js';
import { IP_FAMILIES } from '../../net/ip.js';

/** Tables of ours, and the modes that have them. */
const TABLES: readonly (readonly [name: string, modes: readonly string[]])[] = [
  [TABLE, ['nftables']],
  [CAPTURE_TABLE, ['userspace']],
  [FAILURE_TABLE, ['iptables', 'ipvs']],
  [CHOICE_TABLE, ['nftables', 'iptables']],
  [HOLD_TABLE, ['nftables', 'iptables', 'userspace']],
  [ACCEPT_TABLE, ['nftables', 'iptables', 'ipvs', 'userspace']],
];

export interface WhichTables {
  /** Only those that this mode has; of every mode, unless given. */
  readonly of?: string | undefined;
  /** Those that this mode has stay. */
  readonly kept?: string | undefined;
}

/** `plan` changes nothing. Resolves to the tables there were: `ip penstock`. Rejects with NetlinkError. */
export function removeNftables(
  what: 'plan' | 'remove',
  { of, kept = '' }: WhichTables = {},
): Promise<string[]> {
  const gone = TABLES.filter(
    ([, modes]) => (of === undefined || modes.includes(of)) && !modes.includes(kept),
  );
  return removeTables(
    what,
    gone.flatMap(([name]) => IP_FAMILIES.map((family) => ({ family, name }))),
  );
}
