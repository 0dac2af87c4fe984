/** Numbers of rules, table by table. */

export interface RuleCounts {
  readonly filter: number;
  readonly nat: number;
}

export const NO_RULE_COUNTS: RuleCounts = { filter: 0, nat: 0 };

/** Of text in whole lines. */
export function lines(text: string): number {
  let count = 0;
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) count++;
  return count;
}
