/** What the engine has to tell, as lines of the log. */

const WORDS_EACH = 4;
/** native/engine/shared.h, Event::Kind. */
const EJECTED = 0;
const RETURNED = 1;
const OUT_OF_DESCRIPTORS = 3;
const SHARE_USED_UP = 4;
const LOOP = 5;
const NODE_ADDRESS = 6;
/** native/engine/state/health.h, Failure. */
const TIMED_OUT = 1;

export interface EventLine {
  readonly level: 'info' | 'warn';
  readonly text: string;
}

/** `events` as NativeEngine.takeEvents gives them. An endpoint that is still away was told of before. */
export function describeEvents(events: Uint32Array, nameOf: (cell: number) => string): readonly EventLine[] {
  const lines = new Map<string, EventLine>();
  for (let at = 0; at < events.length; at += WORDS_EACH) {
    const [kind, service = 0, endpoint = 0, why] = events.subarray(at, at + WORDS_EACH);
    const line = describe(kind, nameOf(service), nameOf(endpoint), why);
    if (line) lines.set(line.text, line);
  }
  return [...lines.values()];
}

/** Cells of the service port and the endpoint of each connection that was refused because it would go in circles. */
export function* loops(events: Uint32Array): Generator<readonly [number, number]> {
  for (let at = 0; at < events.length; at += WORDS_EACH) {
    const [kind, service = 0, endpoint = 0] = events.subarray(at, at + WORDS_EACH);
    if (kind === LOOP) yield [service, endpoint];
  }
}

function describe(
  kind: number | undefined,
  servicePort: string,
  endpoint: string,
  why: number | undefined,
): EventLine | undefined {
  const subject = `${servicePort}: endpoint ${endpoint}`;
  if (kind === EJECTED) {
    const reason = why === TIMED_OUT ? 'does not answer' : 'refuses connections';
    return { level: 'warn', text: `${subject} ${reason}; it gets no new ones for a while` };
  }
  if (kind === RETURNED) return { level: 'info', text: `${subject} answers again` };
  if (kind === OUT_OF_DESCRIPTORS) {
    return {
      level: 'warn',
      text:
        'all file descriptors are in use: new connections wait until others end. Raise the limit ' +
        '(LimitNOFILE in a unit, ulimit -n in a shell)',
    };
  }
  if (kind === SHARE_USED_UP) {
    return {
      level: 'warn',
      text:
        `${servicePort}: it, its namespace or one of its clients holds as many file descriptors as one alone may; ` +
        'new connections wait, or are refused, until others end. Raise the limit (LimitNOFILE), or look who calls so often',
    };
  }
  if (kind === NODE_ADDRESS) {
    return {
      level: 'info',
      text:
        `${subject} does not answer to the address of a client, only to the node's: it and its neighbours see that of the node ` +
        'for some minutes (pods of one bridge answer each other past the node)',
    };
  }
  return undefined;
}
