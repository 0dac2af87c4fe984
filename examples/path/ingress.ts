/** One Ingress (networking.k8s.io/v1), checked so that a proxy can take nothing of its text for a directive. */
import { z } from 'zod';
import { isSubdomainName } from '../../src/objects/names.js';

export const INGRESS_CLASS = 'penstock-path';
export const CANARY = 'path.penstock.io/canary';
/** Of one object: what a tenant can make the proxies' files grow by. */
const MOST_PATHS = 500;
/** RFC 3986's characters that have no meaning for a proxy; no escapes, as nginx compares the decoded path; no `//`, `/.`, `/..`. */
const PATH = /^(?!.*(\/\/|\/\.\.?(\/|$)))\/[A-Za-z0-9/._~!&()*+,=:@-]{0,1023}$/;

const isHost = (text: string) => isSubdomainName(text.replace(/^\*\./, '')) && !/^[*0-9.]+$/.test(text);
const host = z.string().refine(isHost, 'must be a host name in lower case, or *. and one');
const name = z.string().refine(isSubdomainName, 'must be the name of an object');
/** A Service's port by number, or by its name. */
const port = z
  .object({ name: name.optional(), number: z.int().min(1).max(65535).optional() })
  .transform((by) => by.name ?? by.number)
  .refine((by) => by !== undefined, 'must have a name or a number');
const backend = z.object({ service: z.object({ name, port }) });
const path = z.object({
  path: z.string().regex(PATH).default('/'),
  pathType: z.enum(['Exact', 'Prefix', 'ImplementationSpecific']).default('ImplementationSpecific'),
  backend,
});
const rule = z.object({
  host: host.or(z.literal('')).default(''),
  http: z.object({ paths: z.array(path) }).default({ paths: [] }),
});
const spec = z
  .object({
    defaultBackend: backend.optional(),
    rules: z.array(rule).default([]),
    tls: z.array(z.object({ hosts: z.array(host).default([]), secretName: name.optional() })).default([]),
  })
  .refine((each) => each.rules.length > 0 || each.defaultBackend, 'must have rules or a defaultBackend')
  .refine(
    ({ rules }) => rules.flatMap(({ http }) => [http, ...http.paths]).length <= MOST_PATHS,
    `must have ${MOST_PATHS} rules and paths at most`,
  );
/** `SERVICE=PERCENT`: that share of the requests goes to another Service, at the same port. */
const canary = z.string().regex(/^[a-z0-9.-]+=([1-9]\d?|100)$/, 'must be SERVICE=PERCENT, 1 to 100');
const metadata = z.object({
  name,
  namespace: name.default('default'),
  creationTimestamp: z.iso.datetime().default('9999-12-31T23:59:59Z'),
  annotations: z.object({ [CANARY]: canary.optional() }).default({}),
});
const ingress = z.object({ metadata, spec });

export type Ingress = z.output<typeof ingress>;
export type ServiceRef = z.output<typeof backend>['service'];

/** A text says why the object is refused, whole; undefined: it is another controller's, or no Ingress. */
export function readIngress(raw: unknown): Ingress | string | undefined {
  // To the API null is the same as absent.
  const object = JSON.parse(JSON.stringify(raw), (_, value) => value ?? undefined);
  if (object?.kind !== 'Ingress' || object.apiVersion !== 'networking.k8s.io/v1') return undefined;
  const annotated = object.metadata?.annotations?.['kubernetes.io/ingress.class'];
  if ((object.spec?.ingressClassName ?? annotated) !== INGRESS_CLASS) return undefined;
  const { data, error } = ingress.safeParse(object);
  return data ?? error?.issues.map((each) => `${each.path.join('.')} ${each.message}`)[0];
}
