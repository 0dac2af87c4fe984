/** The certificate of the scaler, its key, and the authority of its clients: from files that somebody exchanges while it runs. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { SecureServerOptions } from 'node:http2';
import { createSecureContext } from 'node:tls';
import { FileWatch } from '../../agent/reload/FileWatch.js';
import { messageOf } from '../../errors.js';
import { readFileAtMost } from '../../readAtMost.js';
import type { Clock } from '../../time/Clock.js';

export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  /** Undefined: clients need show no certificate. */
  readonly clientCa: string | undefined;
}

export interface TlsFilesOptions {
  readonly paths: TlsPaths;
  /** What is in the files now; it is sound. Throws what hinders it. */
  readonly onChange: (tls: SecureServerOptions) => void;
  readonly clock: Clock;
  readonly log: { info(message: string): void; warn(message: string): void };
}

/** Bytes of a file; OpenSSL refuses what is cut. */
const LARGEST = 1024 * 1024;
/** A change is taken when it was seen twice. */
const LOOK_EVERY_MS = 15_000;

/** Throws what is wrong with them, with the path. */
export function readTlsFiles({ cert, key, clientCa }: TlsPaths): SecureServerOptions {
  const own = {
    cert: readFileAtMost(cert, LARGEST),
    key: readFileAtMost(key, LARGEST),
    minVersion: 'TLSv1.2' as const,
  };
  const tls: SecureServerOptions =
    clientCa === undefined
      ? own
      : { ...own, ca: readFileAtMost(clientCa, LARGEST), requestCert: true, rejectUnauthorized: true };
  // OpenSSL takes an empty certificate or authority without a word, and then nobody comes in.
  check(cert, () => new X509Certificate(own.cert));
  check(key, () => createPrivateKey(own.key));
  if (clientCa !== undefined) check(clientCa, () => new X509Certificate(tls.ca as Buffer));
  check(`${cert} with ${key}`, () => createSecureContext(tls));
  return tls;
}

function check(what: string, read: () => unknown): void {
  try {
    read();
  } catch (cause) {
    throw new Error(`${what}: ${messageOf(cause)}`, { cause });
  }
}

/** Answers how to end it. */
export function watchTlsFiles({ paths, onChange, clock, log }: TlsFilesOptions): () => void {
  const { cert, key, clientCa } = paths;
  const names = [cert, key, ...(clientCa === undefined ? [] : [clientCa])];
  const stays = 'the certificates before stay in force';
  const watch = new FileWatch({
    file: names.join(', '),
    // They belong together: one look sees all.
    read: () => names.map((name) => readFileAtMost(name, LARGEST).toString('utf8')).join('\n'),
    lookEveryMs: LOOK_EVERY_MS,
    clock,
    onChange: () => {
      try {
        onChange(readTlsFiles(paths));
        log.info(`${names.join(', ')}: read again`);
      } catch (error) {
        log.warn(`${names.join(', ')}: changed and not taken, ${stays}: ${messageOf(error)}`);
      }
    },
    onGone: () => log.warn(`one of ${names.join(', ')} cannot be read; ${stays}`),
  });
  return () => watch.close();
}
