/**
 * A v1 Service, checked by the rules of the API server (pkg/apis/core/validation, ValidateService) as far as they
 * concern fields that are used. The API server has checked its own objects; manifests have been checked by nobody.
 */
import { type Cidr, IP_FAMILIES, type IpAddress, type IpFamily, parseCidr } from '../../net/ip.js';
import { forbiddenKind, parseObjectIp, readServiceIp } from '../addresses.js';
import { exact } from '../intern.js';
import type {
  LoadBalancerIngress,
  Service,
  ServicePortSpec,
  ServiceType,
  TrafficPolicy,
} from '../Service.js';
import type { FieldReader } from './FieldReader.js';
import { readPortName, readProtocol } from './portFields.js';
import { readClusterIPs } from './readClusterIPs.js';
import { type Metadata, parseTimestamp, readLabels } from './readMetadata.js';

const TYPES: readonly ServiceType[] = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];
const POLICIES: readonly TrafficPolicy[] = ['Cluster', 'Local'];
const AFFINITIES = ['None', 'ClientIP'] as const;
const IP_MODES = ['VIP', 'Proxy'] as const;

const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
const OPTION_PREFIX = 'penstock.io/';
/** Seconds; the API server's default and its upper bound, one day. */
const DEFAULT_AFFINITY = 10_800;
const LONGEST_AFFINITY = 86_400;

const NO_OPTIONS: Readonly<Record<string, string>> = {};

export function parseService(root: FieldReader, metadata: Metadata): Service {
  if (!root.has('spec')) root.fault('spec', 'an object');
  const spec = root.object('spec');
  const type = spec.choice('type', TYPES, 'ClusterIP');
  const families = readFamilies(spec);
  const { headless, clusterIPs } = readClusterIPs(spec, type, families);
  return {
    kind: 'Service',
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.fields.text('uid'),
    created: readCreated(metadata.fields),
    proxyName: metadata.labels.optionalText(PROXY_NAME_LABEL),
    options: readOptions(metadata.annotations),
    ...(type === 'LoadBalancer' ? { labels: readLabels(metadata.labels) } : {}),
    type,
    headless,
    clusterIPs,
    // Only those of a Service without cluster IP are ever asked for; of the others the addresses tell.
    ...(families.length > 0 && Object.keys(clusterIPs).length === 0 ? { ipFamilies: families } : {}),
    ports: readPorts(spec, headless || type === 'ExternalName'),
    externalIPs: readExternalIPs(spec),
    loadBalancerIngress: readIngress(root),
    loadBalancerSourceRanges: readSourceRanges(spec),
    internalTrafficPolicy: spec.choice('internalTrafficPolicy', POLICIES, 'Cluster'),
    externalTrafficPolicy: spec.choice('externalTrafficPolicy', POLICIES, 'Cluster'),
    affinitySeconds: readAffinity(spec),
    healthCheckNodePort: spec.integer('healthCheckNodePort', 0, 65_535, 0),
  };
}

function readCreated(fields: FieldReader): number | undefined {
  const text = fields.text('creationTimestamp');
  if (text === '') return undefined;
  const created = parseTimestamp(text);
  if (created === undefined)
    fields.warn('creationTimestamp', text, 'which is no RFC 3339 time; it is ignored');
  return created;
}

function readOptions(annotations: FieldReader): Readonly<Record<string, string>> {
  const keys = Object.keys(annotations.fields).filter((key) => key.startsWith(OPTION_PREFIX));
  if (keys.length === 0) return NO_OPTIONS;
  return Object.fromEntries(keys.map((key) => [key.slice(OPTION_PREFIX.length), annotations.text(key)]));
}

/** In order: ipFamilies[0] is the family of the first cluster IP. */
function readFamilies(spec: FieldReader): readonly IpFamily[] {
  const texts = spec.texts('ipFamilies');
  const families = keep(texts, (text, i) => {
    const family = IP_FAMILIES.find((known) => known === text);
    if (family === undefined) spec.fault(`ipFamilies[${i}]`, `one of ${IP_FAMILIES.join(', ')}`, text);
    return family;
  });
  if (new Set(families).size < families.length) spec.fault('ipFamilies', 'a list without repetition');
  return families;
}

function readPorts(spec: FieldReader, mayHaveNone: boolean): readonly ServicePortSpec[] {
  const readers = spec.objects('ports');
  if (spec.isEmpty('ports') && !mayHaveNone) spec.fault('ports', 'a list of at least one port');
  const firstUse = new Map<string, string>();
  const claim = (reader: FieldReader, field: string, key: string) => {
    const earlier = firstUse.get(key);
    if (earlier === undefined) firstUse.set(key, reader.path());
    else reader.fault(field, `different from that of ${earlier}`);
  };
  return readers.map((reader) => {
    const port = readPort(reader);
    if (readers.length > 1) {
      if (port.name !== '') claim(reader, 'name', port.name);
      else if (!reader.fields.name) reader.fault('name', 'given: there are several ports');
      if (port.port !== 0) claim(reader, 'port', `port ${port.protocol} ${port.port}`);
      if (port.nodePort !== 0) claim(reader, 'nodePort', `node port ${port.protocol} ${port.nodePort}`);
    }
    return port;
  });
}

function readPort(reader: FieldReader): ServicePortSpec {
  if (!reader.has('port')) reader.fault('port', '1 to 65535');
  return {
    name: readPortName(reader),
    protocol: readProtocol(reader),
    port: reader.integer('port', 1, 65_535, 0),
    nodePort: reader.integer('nodePort', 0, 65_535, 0),
  };
}

function readExternalIPs(spec: FieldReader): readonly IpAddress[] {
  const texts = spec.texts('externalIPs');
  return keep(texts, (text, i) => {
    if (text === '') return undefined;
    const ip = parseObjectIp(text);
    const bad = ip === undefined ? 'no IP address' : forbiddenKind(ip, 'refused');
    if (bad === undefined) return ip;
    spec.warn(`externalIPs[${i}]`, text, `which is ${bad}; this entry is skipped`);
    return undefined;
  });
}

function readIngress(root: FieldReader): readonly LoadBalancerIngress[] {
  const readers = root.object('status').object('loadBalancer').objects('ingress');
  return keep(readers, (reader) => {
    const text = reader.text('ip');
    const ipMode = reader.choice('ipMode', IP_MODES, 'VIP');
    // Entries with only a host name are for clients that resolve it.
    if (text === '') return undefined;
    const read = readServiceIp(text, root.findings.reservedAddresses);
    if ('ip' in read) return { ip: read.ip, ipMode };
    reader.warn('ip', text, `which is ${read.bad}; this entry is skipped`);
    return undefined;
  });
}

/** An entry that cannot be read is skipped, but never the last one: without any, everybody would be let in. */
function readSourceRanges(spec: FieldReader): readonly Cidr[] {
  const texts = spec.texts('loadBalancerSourceRanges');
  const ranges = keep(texts, (text, i) => {
    const range = parseCidr(text.trim());
    if (range === undefined || range.startsWith('::ffff:')) {
      const consequence = 'which is no CIDR such as 192.0.2.0/24; this entry is skipped';
      spec.warn(`loadBalancerSourceRanges[${i}]`, text, consequence);
      return undefined;
    }
    return range;
  });
  if (texts.length > 0 && ranges.length === 0) {
    const expected =
      'a CIDR such as 192.0.2.0/24 (without a range that can be read, everybody would be let in)';
    spec.fault('loadBalancerSourceRanges[0]', expected, texts[0]);
  }
  return ranges;
}

function readAffinity(spec: FieldReader): number | undefined {
  if (spec.choice('sessionAffinity', AFFINITIES, 'None') === 'None') return undefined;
  const clientIP = spec.object('sessionAffinityConfig').object('clientIP');
  return clientIP.integer('timeoutSeconds', 1, LONGEST_AFFINITY, DEFAULT_AFFINITY);
}

/** The results that are not undefined, in order. */
function keep<T, R>(items: readonly T[], read: (item: T, index: number) => R | undefined): readonly R[] {
  const kept: R[] = [];
  for (let i = 0; i < items.length; i++) {
    const result = read(items[i] as T, i);
    if (result !== undefined) kept.push(result);
  }
  return exact(kept);
}
