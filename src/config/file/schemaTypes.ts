/**
 * The kinds of fields a KubeProxyConfiguration is made of, each with its default and the text of its error.
 *
 * zod/mini, because it takes about 1.5 MB less memory than zod and does all that is needed here.
 * `nonZero…`: where Kubernetes cannot tell zero from absent ('' or 0s), zero means the default, as in kube-proxy.
 */
import * as z from 'zod/mini';
import { formatDuration, type Milliseconds, parseDuration } from '../../time/duration.js';

const NOT_TEXT = 'must be text';
const NOT_A_BOOLEAN = 'must be true or false';
const NOT_AN_INTEGER = 'must be a whole number';
const NOT_A_LIST = 'must be a list';
const NOT_A_DURATION = 'must be a duration such as "30s", "250ms" or "1h0m0s"';
const NOT_A_SIZE = 'must be a number of bytes such as "0" or "64Ki"';

export const text = (fallback = '') => z._default(z.string({ error: NOT_TEXT }), fallback);

export const nonZeroText = (fallback: string) =>
  z._default(
    z.codec(z.string({ error: NOT_TEXT }), z.string(), {
      decode: (given) => given || fallback,
      encode: (value) => value,
    }),
    fallback,
  );

export const textList = () => z._default(z.array(text(), { error: NOT_A_LIST }), []);

export const flag = (fallback = false) => z._default(z.boolean({ error: NOT_A_BOOLEAN }), fallback);

export const flagMap = () =>
  z._default(
    z.record(z.string(), z.boolean({ error: NOT_A_BOOLEAN }), {
      error: 'must be a block of name: true or false',
    }),
    {},
  );

export const integer = (fallback: number) => z._default(z.int({ error: NOT_AN_INTEGER }), fallback);

export const nonZeroInteger = (fallback: number) => nonZeroNumber(fallback, z.int({ error: NOT_AN_INTEGER }));

export const nonZeroNumber = (
  fallback: number,
  type: z.ZodMiniNumber<number> = z.number({ error: 'must be a number' }),
) =>
  z._default(
    z.codec(type, z.number(), { decode: (given) => given || fallback, encode: (value) => value }),
    fallback,
  );

const durationCodec = (whenZero: Milliseconds) =>
  z.codec(z.string({ error: NOT_A_DURATION }), z.number(), {
    decode: (given, context) => decodeDuration(given, context) || whenZero,
    encode: formatDuration,
  });

/** Decoded to milliseconds. */
export const duration = (fallback: Milliseconds) => z._default(durationCodec(0), fallback);

export const nonZeroDuration = (fallback: Milliseconds) => z._default(durationCodec(fallback), fallback);

/** As nonZeroDuration; also a plain number of nanoseconds, the older form of logging.flushFrequency. */
export const nonZeroDurationOrNanoseconds = (fallback: Milliseconds) =>
  z._default(
    z.codec(z.union([z.string(), z.number()], { error: NOT_A_DURATION }), z.number(), {
      decode: (given, context) =>
        (typeof given === 'number' ? given / 1e6 : decodeDuration(given, context)) || fallback,
      encode: formatDuration,
    }),
    fallback,
  );

/** A Kubernetes quantity of bytes, kept as it was written. */
export const byteSize = (fallback: string) =>
  z._default(
    z.codec(z.union([z.string(), z.number()], { error: NOT_A_SIZE }), z.string(), {
      decode: (given) => String(given),
      encode: (value) => value,
    }),
    fallback,
  );

export const choice = <const T extends readonly string[]>(choices: T, fallback: T[number]) =>
  z._default(z.enum(choices, { error: mustBeOneOf(choices) }), fallback as never);

export const nonZeroChoice = <const T extends readonly string[]>(choices: T, fallback: T[number]) =>
  z._default(
    z.codec(z.enum(['', ...choices], { error: mustBeOneOf(choices) }), z.enum(choices), {
      decode: (given) => (given === '' ? fallback : given) as never,
      encode: (value) => value as never,
    }),
    fallback as never,
  );

/** Fields under a common name; unknown fields are refused. An absent block has every default. */
export const block = <T extends z.core.$ZodLooseShape>(shape: T) =>
  z.prefault(z.strictObject(shape, { error: 'must be a block of fields' }), {} as never);

export const blockList = <T extends z.core.$ZodLooseShape>(shape: T) =>
  z._default(z.array(block(shape), { error: NOT_A_LIST }), []);

function mustBeOneOf(choices: readonly string[]): string {
  return `must be one of ${choices.map((choice) => `"${choice}"`).join(', ')}`;
}

function decodeDuration(given: string, context: z.core.ParsePayload): Milliseconds {
  const value = parseDuration(given);
  if (value !== undefined) return value;
  context.issues.push({ code: 'custom', message: NOT_A_DURATION, input: given });
  return z.NEVER;
}
