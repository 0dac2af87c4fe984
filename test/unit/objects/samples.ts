/** Small valid objects as the API server would send them, and short ways to parse them. */
import { type ParseOptions, type ParseResult, parseObject } from '../../../src/objects/read/parseObject.js';

type Fields = Record<string, unknown>;

export function serviceManifest(spec: Fields = {}, metadata: Fields = {}, rest: Fields = {}): Fields {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'cart', namespace: 'shop', ...metadata },
    spec: { clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 80 }], ...spec },
    ...rest,
  };
}

export function sliceManifest(fields: Fields = {}, metadata: Fields = {}): Fields {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'cart-x7k2p',
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': 'cart' },
      ...metadata,
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: ['10.1.0.5'], nodeName: 'node1' }],
    ...fields,
  };
}

export function nodeManifest(fields: Fields = {}, metadata: Fields = {}): Fields {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1', ...metadata }, ...fields };
}

export function serviceCIDRManifest(cidrs: unknown = ['10.96.0.0/12'], metadata: Fields = {}): Fields {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'ServiceCIDR',
    metadata: { name: 'kubernetes', ...metadata },
    spec: { cidrs },
  };
}

/** `object`, `ignored`, or the message of an invalid object. */
export function verdict(raw: unknown, options: ParseOptions = {}): string {
  const result = parseObject(raw, options);
  return result.type === 'invalid' ? `${result.problem.subject}: ${result.problem.message}` : result.type;
}

export function warningsOf(result: ParseResult): string[] {
  return result.type === 'invalid' ? [] : result.warnings.map((w) => `${w.subject}: ${w.message}`);
}
