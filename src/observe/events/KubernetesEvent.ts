/** An Event of events.k8s.io/v1, as far as penstock writes it (k8s.io/api/events/v1/types.go). */

export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  /** '' for objects of the cluster. */
  readonly namespace: string;
  readonly name: string;
}

/** What happened. */
export interface Occurrence {
  readonly type: 'Normal' | 'Warning';
  /** In one CamelCase word; at most 128 characters. */
  readonly reason: string;
  /** What was being done. */
  readonly action: string;
  /** For people; cut at 1024 bytes, which is what the API takes. */
  readonly note: string;
  readonly regarding: EventSubject;
}

export interface EventSeries {
  readonly count: number;
  readonly lastObservedTime: string;
}

export interface KubernetesEvent {
  readonly apiVersion: 'events.k8s.io/v1';
  readonly kind: 'Event';
  readonly metadata: { readonly name: string; readonly namespace: string };
  /** RFC 3339 with microseconds. */
  readonly eventTime: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly action: string;
  readonly reason: string;
  readonly type: Occurrence['type'];
  readonly note: string;
  readonly regarding: Omit<EventSubject, 'namespace'> & { readonly namespace?: string };
  readonly series?: EventSeries;
}

/** Bytes of UTF-8 (ValidateEvent of Kubernetes counts these, though its message speaks of characters). */
const LONGEST_NOTE = 1024;
const ELLIPSIS = '…';

export function cutNote(note: string): string {
  if (Buffer.byteLength(note) <= LONGEST_NOTE) return note;
  const bytes = Buffer.from(note).subarray(0, LONGEST_NOTE - Buffer.byteLength(ELLIPSIS));
  // A character that was cut in two goes as a whole.
  return `${new TextDecoder().decode(bytes, { stream: true })}${ELLIPSIS}`;
}

/** `2026-11-23T06:50:00.123000Z` */
export function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000Z');
}
