/** What of the changes that a sync was given let others go first is next. */
import type { SyncReport } from '../../dataplane/Dataplane.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';

/**
 * After clean(): until the next sync old rules go on making connections, so those of what waits are held against the new ones once more
 * then.
 */
export function goOnWith(
  { families }: Pick<SyncReport, 'families'>,
  connections: { readonly take: (changes: ChangeSet) => void },
  loop: { readonly requestUrgent: () => void },
): void {
  if (families.every(({ waiting }) => waiting === undefined)) return;
  const of = (family: IpFamily) => families.find((report) => report.family === family)?.waiting ?? [];
  connections.take({ families: { IPv4: of('IPv4'), IPv6: of('IPv6') }, triggerTimes: [] });
  loop.requestUrgent();
}
