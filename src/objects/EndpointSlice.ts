/**
 * The part of a discovery.k8s.io/v1 EndpointSlice that penstock uses, validated and with canonical addresses.
 */
import type { IpAddress, IpFamily } from '../net/ip.js';
import type { Protocol } from './Service.js';

/** Names the Service of a slice. */
export const SERVICE_LABEL = 'kubernetes.io/service-name';

export interface EndpointPort {
  /** '' is a valid name: the slice's port belongs to the unnamed port of its Service. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1..65535 */
  readonly port: number;
}

export interface SliceEndpoint {
  /** The first address of the endpoint; the API allows more, but they are fungible and unused. */
  readonly address: IpAddress;
  /** Name of the pod, from targetRef; it is in the namespace of the slice. Absent when the slice does not say. */
  readonly podName?: string;
  /** '' when the slice does not say. */
  readonly nodeName: string;
  /** conditions.ready, true when absent. */
  readonly ready: boolean;
  /** conditions.serving, true when absent. */
  readonly serving: boolean;
  /** conditions.terminating, false when absent. */
  readonly terminating: boolean;
  /** hints.forZones[].name */
  readonly zoneHints: readonly string[];
  /** hints.forNodes[].name */
  readonly nodeHints: readonly string[];
}

export interface EndpointSlice {
  readonly kind: 'EndpointSlice';
  readonly namespace: string;
  readonly name: string;
  /** Value of the label kubernetes.io/service-name, never empty. */
  readonly serviceName: string;
  readonly family: IpFamily;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** Annotation endpoints.kubernetes.io/last-change-trigger-time in milliseconds since the epoch, if any. */
  readonly triggerTime: number | undefined;
}
