/**
 * Durations as Go writes them (`1h0m0s`, `250ms`, `1.5s`, `0`), which is how Kubernetes configuration states them.
 * Source: Go time.ParseDuration and Duration.String.
 */
export type Milliseconds = number;

const UNIT: Readonly<Record<string, Milliseconds>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go holds nanoseconds in 64 bits: about 292 years. */
const LONGEST: Milliseconds = 2 ** 63 / 1e6;

/** Whoever writes an annotation writes the text. Go's own longest form has 25 characters. */
const LONGEST_TEXT = 100;

/** Undefined when the text is no duration. May be negative. */
export function parseDuration(text: string): Milliseconds | undefined {
  if (text.length > LONGEST_TEXT) return undefined;
  const sign = text.startsWith('-') ? -1 : 1;
  const body = text.replace(/^[-+]/, '');
  if (body === '0') return 0;
  if (!/^((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(body)) return undefined;
  let sum = 0;
  for (const [, amount, unit = ''] of body.matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    sum += Number(amount) * (UNIT[unit] ?? Number.NaN);
  }
  if (sum > LONGEST) return undefined;
  return sum === 0 ? 0 : sign * roundToNanoseconds(sum);
}

/** The Go form: `1h0m0s`, `1.5s`, `250ms`, `0s`. */
export function formatDuration(duration: Milliseconds): string {
  if (duration < 0) return `-${formatDuration(-duration)}`;
  if (duration === 0) return '0s';
  if (duration < 1e-3) return `${Math.round(duration * 1e6)}ns`;
  if (duration < 1) return `${roundToNanoseconds(duration * 1000)}µs`;
  if (duration < 1000) return `${roundToNanoseconds(duration)}ms`;
  const hours = Math.floor(duration / 3_600_000);
  const minutes = Math.floor((duration % 3_600_000) / 60_000);
  const seconds = Math.round((duration % 60_000) * 1e6) / 1e9;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

function roundToNanoseconds(duration: Milliseconds): Milliseconds {
  return Math.round(duration * 1e6) / 1e6;
}
