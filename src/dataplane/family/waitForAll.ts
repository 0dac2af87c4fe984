/** Promise.all() rejects while the others are still at work; what they write then meets whatever is tried next. */

/** Waits for all, then resolves to their results, or rejects as the first of them that failed, in the order given. */
export async function waitForAll<Results extends readonly unknown[]>(
  promises: readonly [...{ readonly [I in keyof Results]: Promise<Results[I]> }],
): Promise<Results> {
  await Promise.allSettled(promises);
  return Promise.all(promises) as unknown as Promise<Results>;
}
