/** A discovery.k8s.io/v1 EndpointSlice. */
import { familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import { forbiddenKind, parseObjectIp } from '../addresses.js';
import {
  type EndpointPort,
  type EndpointSlice,
  SERVICE_LABEL,
  type SliceEndpoint,
} from '../EndpointSlice.js';
import { exact, intern } from '../intern.js';
import { isLabelName, isSubdomainName } from '../names.js';
import { type FieldReader, isRawObject } from './FieldReader.js';
import { readPortName, readProtocol } from './portFields.js';
import { type Metadata, parseTimestamp } from './readMetadata.js';

const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

const NO_HINTS: readonly string[] = [];

/**
 * undefined when the slice is none of ours: that of a headless Service, one of no Service (which several controllers make for
 * purposes of their own), or one that holds no IP addresses.
 */
export function parseEndpointSlice(root: FieldReader, metadata: Metadata): EndpointSlice | undefined {
  const serviceName = metadata.labels.text(SERVICE_LABEL);
  // What is no name of a Service is a label like others, and no Service will ever have it.
  if (metadata.labels.has(HEADLESS_LABEL) || !isLabelName(serviceName)) return undefined;
  const addressType = root.text('addressType');
  if (addressType === 'FQDN') return undefined;
  const family = IP_FAMILIES.find((known) => known === addressType);
  if (family === undefined && addressType !== '') {
    root.warn('addressType', addressType, 'only IPv4 and IPv6 can be routed; the slice is ignored');
    return undefined;
  }
  if (family === undefined) root.fault('addressType', `one of ${IP_FAMILIES.join(', ')}`);
  return {
    kind: 'EndpointSlice',
    namespace: metadata.namespace,
    name: metadata.name,
    serviceName: intern(serviceName),
    family: family ?? 'IPv4',
    ports: readPorts(root),
    endpoints: readEndpoints(root, family ?? 'IPv4'),
    triggerTime: parseTimestamp(metadata.annotations.text(TRIGGER_TIME)),
  };
}

function readPorts(root: FieldReader): readonly EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const reader of root.objects('ports')) {
    const port = reader.integer('port', 0, 65_535, 0);
    const protocol = readProtocol(reader);
    const name = readPortName(reader);
    // An absent name is '', as the API server has it.
    if (port === 0)
      reader.warn('port', reader.fields.port, 'and there is no "all ports"; this port is skipped');
    else ports.push({ name, protocol, port });
  }
  return exact(ports);
}

function readEndpoints(root: FieldReader, family: IpFamily): readonly SliceEndpoint[] {
  const endpoints: SliceEndpoint[] = [];
  for (const reader of root.objects('endpoints')) {
    const address = readAddress(reader, family);
    const conditions = reader.object('conditions');
    const hints = reader.object('hints');
    const nodeName = internedName(reader.text('nodeName'));
    const ready = conditions.boolean('ready', true);
    const serving = conditions.boolean('serving', true);
    const terminating = conditions.boolean('terminating', false);
    const zoneHints = readHints(hints, 'forZones');
    const nodeHints = readHints(hints, 'forNodes');
    const podName = readPodName(reader);
    if (address === undefined) continue;
    // Nothing is spread: that makes objects of twice the size, and there are a hundred thousand.
    endpoints.push(
      podName === undefined
        ? { address, nodeName, ready, serving, terminating, zoneHints, nodeHints }
        : { address, podName, nodeName, ready, serving, terminating, zoneHints, nodeHints },
    );
  }
  return exact(endpoints);
}

function internedName(name: string): string {
  return name === '' ? '' : intern(name);
}

/** For people: nothing is decided by it, so what is no name counts as none. */
function readPodName(reader: FieldReader): string | undefined {
  const target = reader.fields.targetRef;
  if (!isRawObject(target) || target.kind !== 'Pod' || typeof target.name !== 'string') return undefined;
  return isSubdomainName(target.name) ? target.name : undefined;
}

/** The first address; further ones are interchangeable with it and unused. */
function readAddress(reader: FieldReader, family: IpFamily): IpAddress | undefined {
  const text = reader.texts('addresses')[0];
  if (text === undefined) return undefined;
  const ip = parseObjectIp(text);
  const bad =
    ip === undefined || familyOf(ip) !== family
      ? `no ${family} address`
      : forbiddenKind(ip, reader.findings.reservedAddresses);
  if (bad === undefined) return ip;
  // An endpoint on such an address would reach the node's own or its neighbours' services (CVE-2021-25740).
  reader.warn('addresses[0]', text, `which is ${bad}; this endpoint is skipped`);
  return undefined;
}

function readHints(hints: FieldReader, name: string): readonly string[] {
  const readers = hints.objects(name);
  return readers.length === 0 ? NO_HINTS : readers.map((reader) => intern(reader.text('name')));
}
