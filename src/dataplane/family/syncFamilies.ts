/** The one loop over the IP families of a host: trouble with one must neither hide nor abort the other. */
import { messageOf } from '../../errors.js';
import type { IpFamily } from '../../net/ip.js';
import type { DataplaneListener, FamilyReport } from '../Dataplane.js';

/**
 * Syncs one family after the other, each whatever became of those before. Rejects only when all have ended; those that
 * were synced are told to the listener then, as nobody gets their reports. They also go on with what waits: the next sync
 * comes only when the one that failed is tried again.
 */
export async function syncFamilies<Family extends { readonly family: IpFamily }>(
  families: Iterable<Family>,
  listener: DataplaneListener,
  sync: (family: Family) => Promise<FamilyReport>,
): Promise<readonly FamilyReport[]> {
  const synced: (readonly [Family, FamilyReport])[] = [];
  const failures: Failure[] = [];
  const attempt = async (each: Family): Promise<FamilyReport | undefined> => {
    try {
      return await sync(each);
    } catch (error) {
      failures.push({ family: each.family, error });
      listener.familyFailed(each.family);
      return undefined;
    }
  };
  for (const each of families) {
    const report = await attempt(each);
    if (report) synced.push([each, report]);
  }
  if (failures.length === 0) return synced.map(([, report]) => report);
  for (const [each, report] of synced) {
    listener.familySynced(report);
    for (let last: FamilyReport | undefined = report; last?.waiting; ) last = await attempt(each);
  }
  throw together(failures);
}

interface Failure {
  readonly family: IpFamily;
  readonly error: unknown;
}

/** The one failure as it is; of two that differ, both are named. */
function together(failures: readonly Failure[]): unknown {
  const messages = new Set(failures.map(({ error }) => messageOf(error)));
  if (messages.size === 1) return failures[0]?.error;
  return new AggregateError(
    failures.map(({ error }) => error),
    failures.map(({ family, error }) => `${family}: ${messageOf(error)}`).join('; '),
  );
}
