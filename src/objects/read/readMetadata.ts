/** The metadata that all objects share. */
import { isClusterScoped, type ObjectKind } from '../ApiObject.js';
import { intern } from '../intern.js';
import { isLabelName, isSubdomainName, LABEL_FORM, SUBDOMAIN_FORM } from '../names.js';
import type { FieldReader } from './FieldReader.js';

export interface Metadata {
  /** '' when missing or malformed, which is noted as a fault. */
  readonly name: string;
  /** `default` when absent; '' for kinds that have none, or when malformed. */
  readonly namespace: string;
  readonly fields: FieldReader;
  readonly labels: FieldReader;
  readonly annotations: FieldReader;
}

export function readMetadata(root: FieldReader, kind: ObjectKind): Metadata {
  const fields = root.object('metadata');
  return {
    name: readName(fields, kind),
    namespace: isClusterScoped(kind) ? '' : readNamespace(fields),
    fields,
    labels: fields.object('labels'),
    annotations: fields.object('annotations'),
  };
}

function readName(fields: FieldReader, kind: ObjectKind): string {
  const name = fields.optionalText('name');
  if (name === undefined) {
    if (!fields.has('name')) fields.fault('name', 'the name of the object');
    return '';
  }
  // Of a Service its slices have it too.
  if (kind === 'Service' ? isLabelName(name) : isSubdomainName(name))
    return kind === 'Service' ? intern(name) : name;
  fields.fault('name', kind === 'Service' ? LABEL_FORM : SUBDOMAIN_FORM);
  return '';
}

function readNamespace(fields: FieldReader): string {
  const namespace = fields.optionalText('namespace');
  if (!namespace) return 'default';
  if (isLabelName(namespace)) return intern(namespace);
  fields.fault('namespace', LABEL_FORM);
  return '';
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** Milliseconds since the epoch; undefined when the text is no RFC 3339 time. */
export function parseTimestamp(text: string): number | undefined {
  if (!RFC3339.test(text)) return undefined;
  const time = Date.parse(text.toUpperCase());
  return Number.isNaN(time) ? undefined : time;
}

/** Values that are no texts are left out: they are no labels. */
export function readLabels({ fields }: FieldReader): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
