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
  const reports: FamilyReport[] = [];
  const failures: Failure[] = [];
  const byFamily = new Map<IpFamily, Family>();
  for (const each of families) {
    byFamily.set(each.family, each);
    try {
      reports.push(await sync(each));
    } catch (error) {
      failures.push({ family: each.family, error });
      listener.familyFailed(each.family);
    }
  }
  if (failures.length === 0) return reports;
  for (const report of reports) {
    listener.familySynced(report);
    const each = byFamily.get(report.family);
    let { waiting } = report;
    try {
      while (each && waiting) ({ waiting } = await sync(each));
    } catch (error) {
      failures.push({ family: report.family, error });
    }
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
