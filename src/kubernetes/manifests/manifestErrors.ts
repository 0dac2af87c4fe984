/** Why manifests, one of their files or one of their objects cannot be used, for the person who wrote them. */
import { PenstockError } from '../../errors.js';
import { printable } from '../../net/printable.js';
import type { Problem } from '../../objects/Problem.js';
import { type Found, MANIFEST_EXTENSIONS } from './findManifests.js';
import type { ManifestFault } from './parseManifest.js';

const PATTERNS = MANIFEST_EXTENSIONS.map((extension) => `*${extension}`).join(', ');

export function manifestsMissing(path: string): PenstockError {
  return new PenstockError('PENSTOCK_MANIFESTS_MISSING', `manifests: ${printable(path)} does not exist`, {
    remedy: `Name a manifest file, or a folder with ${PATTERNS} files; the folder may be empty.`,
  });
}

/** `lost` are the files that cannot be read, with the reason. An empty folder is usable: it will be filled later. */
export function manifestsUnusable(
  path: string,
  found: Found,
  lost: readonly string[],
): PenstockError | undefined {
  if (lost.length < found.files.length) return undefined;
  const reason = lost[0] ?? found.unreadable.map((place) => `${place.path} ${place.message}`)[0];
  if (reason !== undefined) {
    return new PenstockError('PENSTOCK_MANIFESTS_UNREADABLE', `manifests: ${printable(reason)}`, {
      remedy: `Make ${path} readable for the user that penstock runs as.`,
    });
  }
  if (found.others.length === 0) return undefined;
  const more = found.others.length > 3 ? ', …' : '';
  const names = found.others.slice(0, 3).join(', ');
  return new PenstockError(
    'PENSTOCK_MANIFESTS_NONE',
    `manifests: ${printable(path)} has no ${PATTERNS} file, only ${printable(names)}${more}`,
    {
      remedy: 'Name the folder that holds the manifests, or give the files one of these extensions.',
    },
  );
}

/** `hasContent`: what the file held before stays in force. */
export function faultProblem(path: string, fault: ManifestFault, hasContent: boolean): Problem {
  const shown = printable(path);
  const where = fault.line === undefined ? shown : `${shown}:${fault.line}`;
  const message = fault.line === undefined ? fault.message : `line ${fault.line}: ${fault.message}`;
  return withConsequence(
    { subject: shown, message, where },
    hasContent ? 'its last good content' : undefined,
    'nothing of it is used',
  );
}

/** `kept`: what stays in force instead. */
export function withConsequence(
  problem: Problem,
  kept: string | undefined,
  otherwise = 'it is set aside',
): Problem {
  const consequence = kept === undefined ? otherwise : `${kept} stays in force`;
  return { ...problem, message: `${problem.message}; ${consequence}` };
}

/** More lines would hide what the command was asked for. */
const MOST_LINES = 20;

/** Those of whole files and folders, for commands that read a source once and go: neither of an object in one, nor a note. */
export function fileProblems(problems: readonly Problem[]): readonly Problem[] {
  return problems.filter(
    ({ subject, where, severity }) =>
      severity !== 'note' && (where === subject || where?.startsWith(`${subject}:`) === true),
  );
}

/** One line for each file, and one for those beyond 20. */
export function fileProblemLines(problems: readonly Problem[]): readonly string[] {
  const all = fileProblems(problems);
  const lines = all.slice(0, MOST_LINES).map(({ subject, message }) => printable(`${subject}: ${message}`));
  return all.length > MOST_LINES ? [...lines, `and ${all.length - MOST_LINES} files more`] : lines;
}

/** Throws PENSTOCK_MANIFESTS_UNREADABLE when a whole file was left out, and what was read holds no Service. */
export function requireSomething(problems: readonly Problem[], services: Iterable<unknown>): void {
  for (const _ of services) return;
  requireAllFiles(problems);
}

/**
 * For commands whose answer is about all Services: throws PENSTOCK_MANIFESTS_UNREADABLE when a whole file was left out. Objects that were
 * set aside are no reason, as an agent sets them aside too.
 */
export function requireAllFiles(problems: readonly Problem[]): void {
  const [left, ...others] = fileProblems(problems);
  if (left === undefined) return;
  const more = others.length === 0 ? '' : `; so it is with ${others.length} more`;
  throw new PenstockError('PENSTOCK_MANIFESTS_UNREADABLE', `${left.subject}: ${left.message}${more}`, {
    remedy: 'Correct the file, or leave it out.',
  });
}
