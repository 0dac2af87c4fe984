/** The output of iptables-save and ip6tables-save as chains. */
import { PenstockError } from '../../errors.js';

export interface SavedRules {
  /** `nat KUBE-SERVICES` → rules in order, without `-A CHAIN`. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** Throws PENSTOCK_RULES_UNREADABLE when the text is no output of iptables-save. */
export function readSave(text: string, name: string): SavedRules {
  const chains = new Map<string, string[]>();
  let table = '';
  for (const [i, line] of text.split('\n').entries()) {
    const at = `${name}:${i + 1}`;
    if (line === '' || line.startsWith('#') || line === 'COMMIT') continue;
    const tableName = /^\*([a-z]+)$/.exec(line)?.[1];
    if (tableName !== undefined) table = tableName;
    else if (table === '') throw unreadable(at, 'no table yet (a line like *nat)');
    else {
      const chain = /^:(\S+) /.exec(line)?.[1];
      // Packet counters, [12:345], stand in front when iptables-save -c wrote it.
      const rule = /^(?:\[\d+:\d+\] )?-([AI]) (\S+) ?(.*)$/.exec(line);
      if (chain !== undefined) chains.set(`${table} ${chain}`, chains.get(`${table} ${chain}`) ?? []);
      else if (rule) {
        const key = `${table} ${rule[2]}`;
        const rules = chains.get(key) ?? [];
        if (rule[1] === 'I') rules.unshift(rule[3] ?? '');
        else rules.push(rule[3] ?? '');
        chains.set(key, rules);
      } else throw unreadable(at, 'neither a chain nor a rule');
    }
  }
  if (table === '') throw unreadable(name, 'no table in it');
  return { chains };
}

function unreadable(at: string, why: string): PenstockError {
  return new PenstockError('PENSTOCK_RULES_UNREADABLE', `${at}: ${why}`, {
    remedy: 'Give the output of iptables-save (or ip6tables-save) as it is.',
  });
}
