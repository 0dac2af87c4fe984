/** What one manifest file holds: its objects as the routing table takes them, and what is wrong with them. */
import { append } from '../../append.js';
import { printable } from '../../net/printable.js';
import { type ApiObject, objectName, refOf } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { endpointsAsSlices, isEndpoints } from '../../objects/read/endpointsAsSlices.js';
import { isRawObject, type RawObject } from '../../objects/read/FieldReader.js';
import { inlineEndpoints } from '../../objects/read/inlineEndpoints.js';
import { type ParseResult, parseObject } from '../../objects/read/parseObject.js';
import type { OtherObject } from '../ObjectSource.js';
import { withConsequence } from './manifestErrors.js';
import { ForeignKinds } from './manifestNotes.js';
import { type IsOther, isOtherGroup } from './otherGroups.js';
import type { ManifestObject } from './parseManifest.js';

export interface ManifestFile {
  readonly path: string;
  /** When the file came to be, for Services that do not say it: milliseconds since the epoch. */
  readonly since: number | undefined;
}

/** One object of a file that has a name. */
export interface Entry {
  readonly key: string;
  /** undefined when it is invalid, and then `problem` says why. */
  object: ApiObject | undefined;
  readonly problem: Problem | undefined;
  /** File and, where known, line. */
  readonly where: string;
  /** It was made of an Endpoints object, which is called so. */
  readonly madeOf: string | undefined;
  readonly source: ManifestFile;
  /** In the file. */
  readonly index: number;
}

interface Content {
  readonly entries: readonly Entry[];
  /** Of items within objects, and of objects without a name. */
  readonly problems: readonly Problem[];
  readonly others: readonly OtherObject[];
}

/** Entries in the order in which they count: the first of a name does. */
export function inOrder(a: Entry, b: Entry): number {
  if (a.source.path !== b.source.path) return a.source.path < b.source.path ? -1 : 1;
  return a.index - b.index;
}

/** `since`: when the file came to be, for Services that do not say it: milliseconds since the epoch. */
export function readContent(
  path: string,
  objects: readonly ManifestObject[],
  since: number | undefined,
  isOther: IsOther = isOtherGroup,
): Content {
  const source = { path, since };
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  const others: OtherObject[] = [];
  const foreign = new ForeignKinds(path);
  for (const { raw, line, apiVersion, kind } of objects) {
    const where = printable(line === undefined ? path : `${path}:${line}`);
    const type = isRawObject(raw) ? { apiVersion: raw.apiVersion ?? apiVersion, kind: raw.kind ?? kind } : {};
    if (isEndpoints(raw, type.kind, type.apiVersion)) {
      readEndpoints(raw, where, source, entries, problems);
      continue;
    }
    if (isOther(type.apiVersion, type.kind)) {
      others.push({
        id: `${path} ${others.length}`,
        raw: isRawObject(raw) ? { ...raw, ...type } : raw,
        where,
      });
      continue;
    }
    const result = parseObject(raw, { where, apiVersion, kind, writtenBy: 'person' });
    if (result.type === 'ignored' && result.ref === undefined && result.warnings.length === 0)
      foreign.add(raw, type.kind);
    readResult(result, { where, madeOf: undefined, source }, entries, problems);
    if (result.type === 'object' && result.object.kind === 'Service' && isRawObject(raw)) {
      const { endpoints, faults } = inlineEndpoints(raw);
      const subject = objectName(refOf(result.object));
      for (const message of faults) problems.push({ subject, message, where });
      if (endpoints) readEndpoints(endpoints, where, source, entries, problems);
    }
  }
  return { entries, problems: [...problems, ...foreign.problems()], others };
}

function readEndpoints(
  raw: RawObject,
  where: string,
  source: ManifestFile,
  entries: Entry[],
  problems: Problem[],
): void {
  const { subject, faults, slices } = endpointsAsSlices(raw);
  for (const message of faults) problems.push({ subject, message, where });
  for (const slice of slices)
    readResult(
      parseObject(slice, { where, subject, writtenBy: 'person' }),
      { where, madeOf: subject, source },
      entries,
      problems,
    );
}

function readResult(
  result: ParseResult,
  origin: Pick<Entry, 'where' | 'madeOf' | 'source'>,
  entries: Entry[],
  problems: Problem[],
): void {
  if (result.type !== 'invalid') append(problems, result.warnings);
  if (result.type === 'object') {
    const { object } = result;
    // Spread into, it would be of twice the size.
    entries.push({
      key: objectName(refOf(object)),
      object,
      problem: undefined,
      where: origin.where,
      madeOf: origin.madeOf,
      source: origin.source,
      index: entries.length,
    });
  } else if (result.type === 'invalid') {
    const { ref, problem } = result;
    if (ref)
      entries.push({ key: objectName(ref), object: undefined, problem, index: entries.length, ...origin });
    else problems.push(withConsequence(problem, undefined));
  }
}
