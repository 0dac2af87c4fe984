/** A change in ipset's words: a line of what `ipset -exist restore` takes. */
import type { SetChange } from './SetChange.js';
import { FIRST_PORT, HASH_SIZE, LAST_PORT, MOST_ELEMENTS, type SetSpec } from './SetSpec.js';

/** Without a line feed. */
export function printChange(change: SetChange): string {
  const { name } = change.set;
  switch (change.action) {
    case 'create':
      return `create ${name} ${printSpec(change.set)}`;
    case 'destroy':
    case 'flush':
      return `${change.action} ${name}`;
    case 'add':
      return `add ${name} ${change.element}${change.mark === undefined ? '' : ` skbmark 0x${change.mark.toString(16)}`}`;
    case 'delete':
      return `del ${name} ${change.element}`;
  }
}

function printSpec({ type, family, extension }: SetSpec): string {
  const size =
    type === 'bitmap:port'
      ? `range ${FIRST_PORT}-${LAST_PORT}`
      : `family ${family === 'IPv4' ? 'inet' : 'inet6'} hashsize ${HASH_SIZE} maxelem ${MOST_ELEMENTS}`;
  return `${type} ${size}${extension === 'mark' ? ' skbinfo' : ''}`;
}
