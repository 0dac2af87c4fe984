/** One Ingress (networking.k8s.io/v1) as claims on hosts and paths. Nothing of its text gets further that a proxy could take for a directive. */
import { isSubdomainName } from '../../src/objects/names.js';
import {
  type FieldReader,
  Findings,
  isRawObject,
  FieldReader as Reader,
} from '../../src/objects/read/FieldReader.js';
import { parseTimestamp, readMetadata } from '../../src/objects/read/readMetadata.js';

/** A Service's port by number, or by its name. */
export interface ServiceRef {
  readonly service: string;
  readonly port: number | string;
}

export interface ClaimedPath {
  /** '' for every host; `*.shop.example` for one label more. */
  readonly host: string;
  readonly type: 'Exact' | 'Prefix';
  /** Of type Prefix without a slash at the end: '' is everything. */
  readonly path: string;
  readonly backend: ServiceRef;
}

export interface Ingress {
  readonly namespace: string;
  readonly name: string;
  /** Milliseconds since the epoch: the older one of two claims wins. */
  readonly created: number;
  readonly paths: readonly ClaimedPath[];
  readonly tls: readonly { readonly hosts: readonly string[]; readonly secret: string }[];
  readonly fallback: ServiceRef | undefined;
  /** This share of each path's requests, 1 to 100 percent, goes to another Service, at the same port. */
  readonly canary: { readonly service: string; readonly percent: number } | undefined;
}

export type IngressReading =
  | { readonly ingress: Ingress }
  | { readonly refused: string; readonly subject: string }
  /** Another controller's, or no Ingress at all. */
  | 'not ours';

export const CANARY = 'path.penstock.io/canary';
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
/** Of one object: rules times paths is what a tenant can make the proxies' files grow by. */
const MOST_PATHS = 500;
const LONGEST_PATH = 1024;
/** Of RFC 3986's characters of a path those that neither proxy gives a meaning to; no escapes, as nginx compares the decoded path. */
const PATH = /^\/[A-Za-z0-9/._~!&()*+,=:@-]*$/;
/** As the API server refuses them. */
const UNNORMAL = /\/\/|\/\.\.?(\/|$)/;

export function readIngress(raw: unknown, ingressClass: string): IngressReading {
  if (!isRawObject(raw) || raw.kind !== 'Ingress' || raw.apiVersion !== 'networking.k8s.io/v1')
    return 'not ours';
  const findings = new Findings();
  const root = new Reader(raw, findings);
  // An Ingress' name is a subdomain, as an EndpointSlice's.
  const metadata = readMetadata(root, 'EndpointSlice');
  const spec = root.object('spec');
  const className =
    spec.optionalText('ingressClassName') ?? metadata.annotations.optionalText(CLASS_ANNOTATION);
  if (className !== ingressClass) return 'not ours';
  const ingress: Ingress = {
    namespace: metadata.namespace,
    name: metadata.name,
    created: parseTimestamp(metadata.fields.text('creationTimestamp')) ?? Number.POSITIVE_INFINITY,
    paths: readPaths(spec),
    tls: spec.objects('tls').map((tls) => ({
      hosts: tls.texts('hosts').map((host) => checkedHost(tls, 'hosts', host)),
      secret: checkedName(tls, 'secretName', tls.text('secretName')),
    })),
    fallback: spec.has('defaultBackend') ? readBackend(spec.object('defaultBackend')) : undefined,
    canary: readCanary(metadata.annotations),
  };
  if (!ingress.paths.length && ingress.fallback === undefined)
    spec.fault('rules', 'there, or a defaultBackend');
  const subject = `Ingress ${metadata.namespace}/${metadata.name}`;
  return findings.faults.isEmpty ? { ingress } : { refused: findings.faults.sentences().join('; '), subject };
}

function readPaths(spec: FieldReader): ClaimedPath[] {
  const paths: ClaimedPath[] = [];
  for (const rule of spec.objects('rules')) {
    const host = rule.has('host') ? checkedHost(rule, 'host', rule.text('host')) : '';
    for (const item of rule.object('http').objects('paths')) {
      if (paths.length === MOST_PATHS) {
        spec.fault('rules', `with ${MOST_PATHS} paths at most`);
        return paths;
      }
      const type = item.choice(
        'pathType',
        ['Exact', 'Prefix', 'ImplementationSpecific'],
        'ImplementationSpecific',
      );
      const path = checkedPath(item, item.optionalText('path') ?? '/');
      const backend = readBackend(item.object('backend'));
      // Specific to this implementation: a prefix.
      if (type === 'Exact') paths.push({ host, type, path, backend });
      else paths.push({ host, type: 'Prefix', path: path.replace(/\/$/, ''), backend });
    }
  }
  return paths;
}

function checkedHost(reader: FieldReader, field: string, host: string): string {
  const bare = host.replace(/^\*\./, '');
  // All digits: an address, which the API does not allow here.
  if (!isSubdomainName(bare) || /^[0-9.]+$/.test(bare))
    reader.fault(field, 'a host name in lower case, or *. and one', host);
  return host;
}

function checkedName(reader: FieldReader, field: string, name: string): string {
  if (!isSubdomainName(name)) reader.fault(field, 'the name of an object', name);
  return name;
}

function checkedPath(reader: FieldReader, path: string): string {
  if (!PATH.test(path) || UNNORMAL.test(path) || path.length > LONGEST_PATH)
    reader.fault(
      'path',
      `an absolute path of at most ${LONGEST_PATH} of the characters A-Z a-z 0-9 / . _ ~ ! & ( ) * + , = : @ -`,
    );
  return path;
}

function readBackend(reader: FieldReader): ServiceRef {
  if (reader.has('resource')) reader.fault('resource', 'absent: only Services are served');
  const service = reader.object('service');
  const port = service.object('port');
  const name = checkedName(service, 'name', service.text('name'));
  if (!port.has('name')) return { service: name, port: port.integer('number', 1, 65535, 0) || missing(port) };
  return { service: name, port: checkedName(port, 'name', port.text('name')) };
}

function missing(port: FieldReader): 0 {
  port.fault('number', '1 to 65535, or a name instead of it');
  return 0;
}

/** `SERVICE=PERCENT` */
function readCanary(annotations: FieldReader): Ingress['canary'] {
  const text = annotations.optionalText(CANARY);
  if (text === undefined) return undefined;
  const [, service = '', percent = ''] = /^([a-z0-9.-]+)=([1-9]\d?|100)$/.exec(text) ?? [];
  if (!isSubdomainName(service)) annotations.fault(CANARY, 'SERVICE=PERCENT, 1 to 100');
  return { service, percent: Number(percent) };
}
