/** The annotations by which a Service tells the proxy how to treat its connections (docs/userspace.md). */
import type { Algorithm } from '../../balancing/Balancing.js';
import { FaultList, quote } from '../../objects/read/FaultList.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type Milliseconds, parseDuration } from '../../time/duration.js';

export interface ProxyDefaults {
  readonly udpIdleTimeout: Milliseconds;
  /** How long connections to an endpoint that no longer serves may go on; undefined: as long as they like. */
  readonly drainTimeout: Milliseconds | undefined;
  /** How long connections wait while nobody serves; 0, and absent: they are reset. */
  readonly wait?: (port: ServicePort) => Milliseconds;
  /** Of Services that name none; absent: power-of-two. */
  readonly algorithm?: Algorithm;
  /** `auto` when absent. */
  readonly sourceAddress?: SourceAddress;
}

/** Whose address endpoints see: the client's where the kernel modes keep it (auto: and where answers are sure to come back). */
export type SourceAddress = 'auto' | 'node' | 'transparent';

export interface ProxyOptions {
  readonly algorithm: Algorithm;
  /** While nobody serves; 0: not at all. */
  readonly wait: Milliseconds;
  /** How long each attempt may take; as many as there are. */
  readonly attempts: readonly Milliseconds[];
  /** 0: never. */
  readonly idleTimeout: Milliseconds;
  /** 0: for ever. */
  readonly maxLifetime: Milliseconds;
  readonly sourceAddress: SourceAddress;
  readonly proxyProtocol: 'none' | 'v1' | 'v2';
  /** For endpoints that are terminating. Undefined: no deadline. */
  readonly drainTimeout: Milliseconds | undefined;
  /** What happens to connections of endpoints that are gone altogether. */
  readonly removedEndpoints: 'keep' | 'reset';
}

export interface ProxyOptionsReading {
  readonly options: ProxyOptions;
  /** One sentence for each bad value. */
  readonly faults: readonly string[];
}

/** What kube-proxy's userspace mode did: proxysocket.go, EndpointDialTimeouts. */
const ATTEMPTS: readonly Milliseconds[] = [250, 500, 1000, 2000];
const MOST_ATTEMPTS = 16;
/** The engine counts milliseconds in 32 bits. */
const LONGEST: Milliseconds = 24 * 3_600_000 * 40;
/** A flow holds a descriptor. The kernel forgets flows that were answered after two or three minutes (nf_conntrack_udp_timeout_stream). */
const LONGEST_UDP_IDLE: Milliseconds = 3_600_000;
/** An attempt that waits for an answer holds two. */
const LONGEST_ATTEMPT: Milliseconds = 60_000;

/** Never throws: a bad value is reported, and the default holds in its place. */
export function readProxyOptions(port: ServicePort, defaults: ProxyDefaults): ProxyOptionsReading {
  const faults = new FaultList();
  const { options } = port;
  const duration = <F extends Milliseconds | undefined>(
    name: string,
    fallback: F,
    longest = LONGEST,
  ): Milliseconds | F => {
    const text = options[name];
    if (text === undefined || text === '') return fallback;
    const value = parseDuration(text);
    if (value !== undefined && value >= 0 && value <= longest) return Math.round(value);
    const meanwhile = fallback === undefined ? 'there is none' : `it is ${fallback} ms`;
    faults.add(
      `${nameOf(name)} is ${quote(text)}, must be a duration such as 30s, at most ${longest / 3_600_000}h; until then ${meanwhile}`,
    );
    return fallback;
  };
  const choice = <T extends string>(name: string, allowed: readonly T[], fallback: T): T => {
    const text = options[name];
    if (text === undefined || text === '') return fallback;
    const value = allowed.find((each) => each === text);
    if (value === undefined) {
      faults.add(
        `${nameOf(name)} is ${quote(text)}, must be one of ${allowed.join(', ')}; until then it is ${fallback}`,
      );
    }
    return value ?? fallback;
  };
  const read: ProxyOptions = {
    // Without a word about it, connections are counted, which the kernel modes cannot.
    algorithm: options.algorithm ? port.balancing.algorithm : (defaults.algorithm ?? 'power-of-two'),
    wait: defaults.wait?.(port) ?? 0,
    attempts: readAttempts(options.retries ?? '', faults),
    idleTimeout:
      port.protocol === 'UDP'
        ? duration(
            'udp-idle-timeout',
            Math.min(Math.ceil(defaults.udpIdleTimeout), LONGEST),
            LONGEST_UDP_IDLE,
          )
        : duration('idle-timeout', 0),
    maxLifetime: duration('max-lifetime', 0),
    sourceAddress: choice(
      'source-address',
      ['auto', 'node', 'transparent'],
      defaults.sourceAddress ?? 'auto',
    ),
    proxyProtocol: port.protocol === 'UDP' ? 'none' : choice('proxy-protocol', ['none', 'v1', 'v2'], 'none'),
    drainTimeout: duration('drain-timeout', defaults.drainTimeout),
    removedEndpoints: choice('removed-endpoints', ['keep', 'reset'], 'keep'),
  };
  return { options: read, faults: faults.sentences() };
}

/** `250ms,500ms,1s`: one attempt each, with its timeout. */
function readAttempts(text: string, faults: FaultList): readonly Milliseconds[] {
  if (text === '') return ATTEMPTS;
  const attempts = text.split(',').map((part) => parseDuration(part.trim()) ?? 0);
  if (attempts.length <= MOST_ATTEMPTS && attempts.every((each) => each >= 1 && each <= LONGEST_ATTEMPT)) {
    return attempts.map(Math.round);
  }
  faults.add(
    `${nameOf('retries')} is ${quote(text)}, must be the timeouts of 1 to ${MOST_ATTEMPTS} attempts, each at most 60s, such as 250ms,500ms,1s; ` +
      `until then it is ${ATTEMPTS.map((each) => `${each}ms`).join(',')}`,
  );
  return ATTEMPTS;
}

function nameOf(option: string): string {
  return `metadata.annotations[penstock.io/${option}]`;
}
