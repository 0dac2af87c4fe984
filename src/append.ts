/**
 * Adds the items to the end of the list, however many they are. `push` with spread items passes each as an argument: some
 * 120,000 of them overflow the stack, which is a RangeError in the middle of whatever is being done.
 */
export function append<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item);
}
