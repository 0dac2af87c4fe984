/** The annotations `penstock.io/wake…` of a Service (docs/first-packet.md): nobody serves, and a first packet wakes somebody. */
import { readUnitName } from '../net/unitName.js';
import { FaultList, quote } from '../objects/read/FaultList.js';
import { formatDuration, type Milliseconds, parseDuration } from '../time/duration.js';
import type { ChangeSet, ServicePortChange } from './ChangeSet.js';
import type { ServicePort } from './ServicePort.js';

/** Whom a first packet wakes; who does that is another question. */
export interface WakeTarget {
  readonly kind: 'deployment' | 'statefulset' | 'unit';
  /** Of the Service's namespace; a unit with its suffix. */
  readonly name: string;
}

export interface Wake {
  /** `hold`: first packets wait. `accept`: TCP is answered at once, and passed on when somebody serves; other protocols are held. */
  readonly way: 'hold' | 'accept';
  /** Undefined: those who are told know it. */
  readonly target: WakeTarget | undefined;
  /** How long a first packet waits. */
  readonly timeout: Milliseconds;
  /** Without connections for so long, the target may sleep again; undefined: nobody says so. */
  readonly idleAfter: Milliseconds | undefined;
}

export interface WakeReading {
  /** Undefined: a Service without endpoints refuses, as ever. */
  readonly wake: Wake | undefined;
  /** One sentence for each bad value: what it is, what it must be, what holds meanwhile. */
  readonly faults: readonly string[];
}

const DEFAULT_TIMEOUT = 60_000;
const TIMEOUT: readonly [Milliseconds, Milliseconds] = [1000, 600_000];
const IDLE: readonly [Milliseconds, Milliseconds] = [1000, 30 * 24 * 3_600_000];
export const IDLE_AFTER = 'idle-after';
const NAMES = ['wake', 'wake-target', 'wake-timeout', IDLE_AFTER] as const;
const LONGEST_NAME = 253;
/** RFC 1123, as Kubernetes names its workloads. */
const WORKLOAD = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const NONE: WakeReading = { wake: undefined, faults: [] };

/** `options` are the annotations without their prefix, as in Service.options. Never throws. An empty text counts as absent. */
export function readWake(options: Readonly<Record<string, string>>): WakeReading {
  const given = NAMES.filter((name) => (options[name] ?? '') !== '');
  if (given.length === 0) return NONE;
  const faults = new FaultList();
  const how = readHow(options.wake ?? '', faults);
  const [first = ''] = given;
  if ((options.wake ?? '') === '')
    faults.add(`${field(first)} does nothing without ${field('wake')}: give that too, as hold or accept`);
  const target = readTarget(options['wake-target'] ?? '', faults);
  const timeout = readTime('wake-timeout', options, TIMEOUT, DEFAULT_TIMEOUT, faults);
  const idleAfter = readTime(IDLE_AFTER, options, IDLE, undefined, faults);
  const wake = how === 'off' ? undefined : { way: how, target, timeout, idleAfter };
  return { wake, faults: faults.sentences() };
}

/** Whether whoever comes to a service port waits for somebody who serves. */
export function isAsleep({ protocol, endpoints, options }: ServicePort): boolean {
  return !endpoints.any && protocol !== 'SCTP' && readWake(options).wake !== undefined;
}

/** Whether connections are to be accepted while nobody serves. Who may come by source ranges is only known of packets: these are held. */
export function asksToAccept({ protocol, options, sourceRanges }: ServicePort): boolean {
  return protocol === 'TCP' && sourceRanges.length === 0 && readWake(options).wake?.way === 'accept';
}

/** Whether connections to it are accepted now, and passed on later. */
export function isAccepting(port: ServicePort): boolean {
  return !port.endpoints.any && asksToAccept(port);
}

/** Whether first packets to it are held now. */
export function isHeld(port: ServicePort): boolean {
  return isAsleep(port) && !asksToAccept(port);
}

/**
 * Of changes those after which a service port `sleeps`, as it did not before; undefined: none. `isKnown`: what it must have been before for
 * somebody to know it.
 */
export function fallingAsleep(
  families: ChangeSet['families'],
  sleeps: (port: ServicePort) => boolean,
  isKnown: (port: ServicePort) => boolean = () => true,
): ChangeSet['families'] | undefined {
  const falling = (changes: readonly ServicePortChange[]) =>
    changes.filter(
      ({ before, after }) => before && after && isKnown(before) && !sleeps(before) && sleeps(after),
    );
  const [IPv4, IPv6] = [falling(families.IPv4), falling(families.IPv6)];
  return IPv4.length + IPv6.length === 0 ? undefined : { IPv4, IPv6 };
}

/** Whether first packets wait at all in a mode. */
export function holdsFirstPackets(mode: string): boolean {
  return mode !== 'ipvs';
}

/** Whether it does in a mode: else the service port refuses, as others without endpoints do. */
export function sleepsIn(mode: string, port: ServicePort): boolean {
  return isAccepting(port) || (holdsFirstPackets(mode) && isAsleep(port));
}

/** `deployment/web` */
export function targetText(target: WakeTarget | undefined): string {
  return target === undefined ? 'whoever listens' : `${target.kind}/${target.name}`;
}

function field(name: string): string {
  return `metadata.annotations[penstock.io/${name}]`;
}

function readHow(text: string, faults: FaultList): Wake['way'] | 'off' {
  if (text === 'hold' || text === 'accept') return text;
  if (text === '' || text === 'off') return 'off';
  faults.add(`${field('wake')} is ${quote(text)}, must be hold, accept or off; until then it is off`);
  return 'off';
}

function readTarget(text: string, faults: FaultList): WakeTarget | undefined {
  if (text === '') return undefined;
  const [, kind = '', name = ''] = /^(deployment|statefulset|unit)\/(.+)$/s.exec(text) ?? [];
  if (kind === 'unit') {
    const unit = readUnitName(name);
    if (unit !== undefined) return { kind, name: unit };
  } else if (kind === 'deployment' || kind === 'statefulset') {
    if (name.length <= LONGEST_NAME && WORKLOAD.test(name)) return { kind, name };
  }
  faults.add(
    `${field('wake-target')} is ${quote(text)}, must be deployment/NAME, statefulset/NAME or unit/NAME; until then nobody is started`,
  );
  return undefined;
}

function readTime<Otherwise extends Milliseconds | undefined>(
  name: 'wake-timeout' | typeof IDLE_AFTER,
  options: Readonly<Record<string, string>>,
  [least, most]: readonly [Milliseconds, Milliseconds],
  otherwise: Otherwise,
  faults: FaultList,
): Milliseconds | Otherwise {
  const text = options[name] ?? '';
  if (text === '') return otherwise;
  const value = parseDuration(text);
  if (value !== undefined && value >= least && value <= most) return value;
  const meanwhile = otherwise === undefined ? 'absent' : formatDuration(otherwise);
  faults.add(
    `${field(name)} is ${quote(text)}, must be ${formatDuration(least)} to ${formatDuration(most)}; until then it is ${meanwhile}`,
  );
  return otherwise;
}
