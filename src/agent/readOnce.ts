/** A source read once, for commands that look and go. */

import { PenstockError } from '../errors.js';
import type { ObjectSource, SourceContact } from '../kubernetes/ObjectSource.js';
import type { Problem } from '../objects/Problem.js';
import type { RoutingTable } from '../routing/RoutingTable.js';
import { every, systemClock } from '../time/Clock.js';

/** Milliseconds of failures after which nobody waits on. */
const PATIENCE_MS = 30_000;

/** Takes everything that a source has into the table. Rejects when a part of it does not answer for half a minute. */
export async function readOnce(
  source: ObjectSource,
  table: RoutingTable,
  patienceMs = PATIENCE_MS,
): Promise<readonly Problem[]> {
  let problems: readonly Problem[] = [];
  let endLooks = () => {};
  const complete = new Promise<void>((resolve, reject) => {
    endLooks = every(systemClock, patienceMs / 30, () => {
      const hopeless = source
        .contacts?.()
        .find(({ complete, connected, forMs }) => !complete && !connected && forMs >= patienceMs);
      if (hopeless) reject(unreadable(source.name, hopeless, patienceMs));
    });
    source
      .start({
        changes: (batch) => table.apply(batch),
        complete: resolve,
        problems: (list) => {
          problems = list;
        },
      })
      .catch(reject);
  });
  try {
    await complete;
  } finally {
    endLooks();
    await source.stop();
  }
  return problems;
}

function unreadable(name: string, { resource, reason }: SourceContact, patienceMs: number): PenstockError {
  const message = `${name}: ${resource} could not be read for ${patienceMs / 1000} s: ${reason ?? 'no answer'}`;
  return new PenstockError('PENSTOCK_SOURCE_UNREADABLE', message, {
    remedy: 'Check that the API server runs, that this host reaches it, and the credentials.',
  });
}
