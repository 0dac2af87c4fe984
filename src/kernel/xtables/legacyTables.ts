/** The tables of iptables-legacy that exist. */
import { readFile } from 'node:fs/promises';
import type { IpFamily } from '../../net/ip.js';

const NAMES: Readonly<Record<IpFamily, string>> = {
  IPv4: '/proc/net/ip_tables_names',
  IPv6: '/proc/net/ip6_tables_names',
};

/** Names such as `nat`. To ask iptables-legacy about a table that does not exist would make the kernel create it. */
export async function legacyTables(family: IpFamily): Promise<readonly string[]> {
  try {
    return await legacyTablesThere(family);
  } catch {
    return [];
  }
}

/** The same, for whoever must know: rejects when the list is there and cannot be read. */
export async function legacyTablesThere(family: IpFamily): Promise<readonly string[]> {
  try {
    const names = await readFile(NAMES[family], 'utf8');
    return names.split('\n').filter(Boolean);
  } catch (error) {
    // A kernel without ip_tables has no such file.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
