/** Whether an iptables-legacy table changed, without reading the table. */
import type { IpFamily } from '../../net/ip.js';
import { nativeAddon } from '../addon/nativeAddon.js';

/**
 * The number of entries and bytes of the tables as one text. Every flush, insertion or deletion changes
 * it; the replacement of a rule by one of the same size does not. Source: IPT_SO_GET_INFO.
 */
export function readLegacyState(family: IpFamily, tables: readonly string[] = ['nat', 'filter']): string {
  return tables.map((table) => stateOf(family, table)).join(' ');
}

function stateOf(family: IpFamily, table: string): string {
  try {
    const { entries, bytes } = nativeAddon().xtablesInfo(family === 'IPv4' ? 4 : 6, table);
    return `${table}:${entries}:${bytes}`;
  } catch (error) {
    // No such table, or no table at all of that family.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOPROTOOPT') return `${table}:none`;
    throw error;
  }
}
