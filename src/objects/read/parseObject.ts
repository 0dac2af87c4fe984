/**
 * From decoded JSON or YAML to the objects that penstock uses. Nothing that comes in throws, and nothing of it is held
 * by the result, so that the full object can be freed.
 */
import {
  type ApiObject,
  isClusterScoped,
  type ObjectKind,
  type ObjectRef,
  objectName,
} from '../ApiObject.js';
import type { Problem } from '../Problem.js';
import { type FaultList, quote } from './FaultList.js';
import { FieldReader, Findings, isRawObject } from './FieldReader.js';
import { parseEndpointSlice } from './parseEndpointSlice.js';
import { parseNode } from './parseNode.js';
import { parseService } from './parseService.js';
import { parseServiceCIDR } from './parseServiceCIDR.js';
import { type Metadata, readMetadata } from './readMetadata.js';
import { withRequestedAddresses } from './requestedAddresses.js';
import { noteUnknownFields } from './unknownFields.js';

export interface ParseOptions {
  /** File and line, for the problems: `manifests/cart.yaml:12`. */
  readonly where?: string | undefined;
  /** Type of objects that carry none, as the items of a ServiceList do. */
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  /**
   * `person`: nobody has checked the object yet, so fields that do not exist are told and reserved addresses refused. Absent:
   * the API server has.
   */
  readonly writtenBy?: 'person';
  /** What the object is called in problems, when it was made of another one. */
  readonly subject?: string;
}

export type ParseResult =
  /** `warnings` speak of items that were left out. */
  | { readonly type: 'object'; readonly object: ApiObject; readonly warnings: readonly Problem[] }
  /** Must not be used. `ref` is undefined when the object does not even have a proper name. */
  | { readonly type: 'invalid'; readonly ref: ObjectRef | undefined; readonly problem: Problem }
  /** Of no concern. `ref` is there when the object is of a known kind: an earlier version may have been in use. */
  | { readonly type: 'ignored'; readonly ref: ObjectRef | undefined; readonly warnings: readonly Problem[] };

const API_VERSIONS: Readonly<Record<ObjectKind, string>> = {
  Service: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  Node: 'v1',
  ServiceCIDR: 'networking.k8s.io/v1',
};

const FOREIGN: ParseResult = { type: 'ignored', ref: undefined, warnings: [] };

/**
 * The message of an invalid object lists all its faults: `spec.ports[1].port is 70000, must be 1 to 65535`. What is
 * done about it is the caller's to add, who knows whether an earlier version is in use.
 */
export function parseObject(raw: unknown, options: ParseOptions = {}): ParseResult {
  if (!isRawObject(raw)) return FOREIGN;
  const kind = raw.kind ?? options.kind;
  const apiVersion = raw.apiVersion ?? options.apiVersion;
  const findings = new Findings(options.writtenBy === 'person' ? 'refused' : 'served');
  const root = new FieldReader(raw, findings);
  if (!isKnownKind(kind)) return FOREIGN;
  if (kind === 'EndpointSlice' && apiVersion === 'discovery.k8s.io/v1beta1')
    return outdated(root, kind, apiVersion, options);
  if (apiVersion === undefined || apiVersion === null) root.fault('apiVersion', API_VERSIONS[kind]);
  // Other API groups have a kind Service too (Knative).
  else if (apiVersion !== API_VERSIONS[kind]) return FOREIGN;

  // What it was made of has been looked at.
  if (options.writtenBy === 'person' && options.subject === undefined)
    noteUnknownFields(raw, kind, findings.warnings);
  const metadata = readMetadata(root, kind);
  const read = readers[kind](root, metadata);
  const object =
    read?.kind === 'Service' && options.writtenBy === 'person'
      ? withRequestedAddresses(read, root, metadata)
      : read;
  const valid = metadata.name !== '' && (isClusterScoped(kind) || metadata.namespace !== '');
  const ref = valid ? { kind, namespace: metadata.namespace, name: metadata.name } : undefined;
  const subject = options.subject ?? (ref ? objectName(ref) : unsureName(kind, metadata));
  if (!findings.faults.isEmpty) {
    const message = findings.faults.sentences().join('; ');
    return { type: 'invalid', ref, problem: problem(subject, message, options) };
  }
  const warnings = problems(subject, findings.warnings, options);
  return object === undefined ? { type: 'ignored', ref, warnings } : { type: 'object', object, warnings };
}

const readers: Readonly<
  Record<ObjectKind, (root: FieldReader, metadata: Metadata) => ApiObject | undefined>
> = {
  Service: parseService,
  EndpointSlice: parseEndpointSlice,
  Node: parseNode,
  ServiceCIDR: parseServiceCIDR,
};

function isKnownKind(kind: unknown): kind is ObjectKind {
  return typeof kind === 'string' && Object.hasOwn(API_VERSIONS, kind);
}

/** A version that is no longer served. A person who has them in a manifest expects them to work. */
function outdated(root: FieldReader, kind: string, apiVersion: string, options: ParseOptions): ParseResult {
  const { name, namespace } = readMetadata(root, 'EndpointSlice');
  const message =
    `${apiVersion} ${kind} is not read; write an EndpointSlice of discovery.k8s.io/v1 ` +
    'with the label kubernetes.io/service-name instead';
  const subject = objectName({ kind, namespace, name: name || '(no name)' });
  return { type: 'ignored', ref: undefined, warnings: [problem(subject, message, options)] };
}

const NO_PROBLEMS: readonly Problem[] = [];

function problems(subject: string, list: FaultList, options: ParseOptions): readonly Problem[] {
  if (list.isEmpty) return NO_PROBLEMS;
  return list.sentences().map((sentence) => problem(subject, sentence, options));
}

function problem(subject: string, message: string, options: ParseOptions): Problem {
  return options.where === undefined ? { subject, message } : { subject, message, where: options.where };
}

/** As much of the name as there is, in quotes where it is not a proper one. */
function unsureName(kind: ObjectKind, metadata: Metadata): string {
  const raw = metadata.fields.fields.name;
  const name = metadata.name || (typeof raw === 'string' && raw !== '' ? quote(raw) : '(no name)');
  return objectName({ kind, namespace: metadata.namespace, name });
}
