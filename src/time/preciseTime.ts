/** The time of day, finer than the milliseconds of Date. */

const drift = { origin: performance.timeOrigin };

/** Milliseconds since the epoch with a fraction; microseconds are right to about one. Follows when the clock is set. */
export function preciseNow(): number {
  const now = drift.origin + performance.now();
  const coarse = Date.now();
  if (now >= coarse - 1 && now < coarse + 2) return now;
  drift.origin += coarse - now;
  return coarse;
}

/** RFC 3339 in UTC with as many digits as it takes, at most six: Go's time.RFC3339Nano. Takes milliseconds since the epoch. */
export function rfc3339(milliseconds: number): string {
  const microseconds = Math.round(milliseconds * 1000);
  const seconds = Math.floor(microseconds / 1_000_000);
  const fraction = String(microseconds - seconds * 1_000_000)
    .padStart(6, '0')
    .replace(/0+$/, '');
  const whole = new Date(seconds * 1000).toISOString().slice(0, -'.000Z'.length);
  return `${whole}${fraction === '' ? '' : `.${fraction}`}Z`;
}
