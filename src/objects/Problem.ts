/**
 * Something that was set aside without stopping the rest: one bad object, one bad field, one bad file.
 * Problems are state, not events: a source reports the complete list it has now.
 */
export interface Problem {
  /** Names the thing: `Service shop/cart`, `manifests/cart.yaml`. Problems with equal subject and message are one. */
  readonly subject: string;
  /** What is wrong, where, and what was done about it, in one line. */
  readonly message: string;
  /** File and line it came from, when there is one: `manifests/cart.yaml:12`. */
  readonly where?: string;
  /** `note`: worth knowing, but nothing is wrong. Absent: something is not served as it was asked for. */
  readonly severity?: 'note';
}

/** Whoever reads more than that reads nothing; and a hundred thousand bad objects must not cost as many lines. */
export const MOST_PROBLEMS = 1000;

/** The first `most`, and how many more there are. `subject`: what they are problems of. `unnamed`: so many are not among them. */
export function boundedProblems(
  problems: Iterable<Problem>,
  subject: string,
  { most = MOST_PROBLEMS, unnamed = 0 } = {},
): readonly Problem[] {
  const shown: Problem[] = [];
  let hidden = unnamed;
  for (const problem of problems) {
    if (shown.length < most) shown.push(problem);
    else hidden++;
  }
  if (hidden > 0) shown.push({ subject, message: `${hidden} more problems; the first ${most} are named` });
  return shown;
}
