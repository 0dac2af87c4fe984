/**
 * The annotation `penstock.io/endpoints` of a Service in a manifest, as an Endpoints object: `10.0.0.1:8080 10.0.0.2:8080`, or
 * addresses alone, which then serve every port of the Service at its targetPort.
 */
import { parseIp } from '../../net/ip.js';
import { FaultList, quote } from './FaultList.js';
import { isRawObject, type RawObject } from './FieldReader.js';

const ANNOTATION = 'penstock.io/endpoints';
const FIELD = `metadata.annotations[${ANNOTATION}]`;
/** More belong in an EndpointSlice. */
const MOST = 1000;

export interface InlineEndpoints {
  /** Undefined: the Service has no such annotation, or nothing in it can be used. */
  readonly endpoints: RawObject | undefined;
  readonly faults: readonly string[];
}

const NONE: InlineEndpoints = { endpoints: undefined, faults: [] };

/** Never throws. What is bad in the list is left out and said; the rest serves. */
export function inlineEndpoints(service: RawObject): InlineEndpoints {
  const { metadata, spec } = service;
  if (!isRawObject(metadata) || !isRawObject(metadata.annotations) || !isRawObject(spec)) return NONE;
  const text = metadata.annotations[ANNOTATION];
  if (typeof text !== 'string' || text.trim() === '') return NONE;
  const faults = new FaultList();
  const ports = Array.isArray(spec.ports) ? spec.ports.filter(isRawObject) : [];
  const words = text.split(/[\s,]+/, MOST + 2).filter((word) => word !== '');
  if (words.length > MOST)
    faults.add(`${FIELD} names more than ${MOST} endpoints, the rest is left out; use an EndpointSlice`);
  /** Addresses by the port that they have; 0: those of the Service. */
  const byPort = new Map<number, Set<string>>();
  for (const word of words.slice(0, MOST)) {
    const target = readTarget(word);
    if (target === undefined)
      faults.add(`${FIELD} names ${quote(word)}, must name ADDRESS or ADDRESS:PORT; it is left out`);
    else if (target.port !== 0 && ports.length !== 1)
      faults.add(
        `${FIELD} names ${quote(word)}, but the Service has ${ports.length} ports: name the address alone; it is left out`,
      );
    else byPort.set(target.port, (byPort.get(target.port) ?? new Set()).add(target.address));
  }
  const subsets = [...byPort].map(([port, addresses]) => ({
    addresses: [...addresses].map((ip) => ({ ip })),
    ports: ports.map((of) => endpointPort(of, port, faults)).filter((each) => each !== undefined),
  }));
  const { name, namespace } = metadata;
  const owner = namespace === undefined ? { name } : { name, namespace };
  return {
    endpoints:
      subsets.length === 0 ? undefined : { apiVersion: 'v1', kind: 'Endpoints', metadata: owner, subsets },
    faults: faults.isEmpty ? [] : faults.sentences(),
  };
}

function readTarget(word: string): { readonly address: string; readonly port: number } | undefined {
  const [, bracketed, v4, portText] = /^(?:\[(.+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(word) ?? [];
  const address = parseIp(bracketed ?? v4 ?? word);
  const port = portText === undefined ? 0 : Number(portText);
  if (address === undefined || port > 65535 || (portText !== undefined && port === 0)) return undefined;
  return { address, port };
}

/** What is wrong with the port itself is said of the Service. */
function endpointPort(of: RawObject, given: number, faults: FaultList): RawObject | undefined {
  const { name, protocol, port, targetPort } = of;
  const target = targetPort === undefined || targetPort === 0 ? port : targetPort;
  if (given === 0 && typeof target !== 'number') {
    faults.add(
      `${FIELD} names addresses alone, but targetPort ${quote(target)} is no number; write ADDRESS:PORT`,
    );
    return undefined;
  }
  return {
    ...(name === undefined ? {} : { name }),
    ...(protocol === undefined ? {} : { protocol }),
    port: given === 0 ? target : given,
  };
}
