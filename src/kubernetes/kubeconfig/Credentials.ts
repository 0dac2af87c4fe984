/** Who we are to the API server, now: files are read again as they rotate, plugins run again before they expire. */
import { messageOf, PenstockError } from '../../errors.js';
import { readFileAtMost } from '../../readAtMost.js';
import type { Connection, Secret } from './Connection.js';
import { type ExecCredential, execCredential } from './execCredential.js';

export interface Identity {
  /** Header, `Bearer …`; undefined when a certificate or nothing speaks for us. */
  readonly authorization: string | undefined;
  /** PEM. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly ca: string | undefined;
}

/** Milliseconds between two looks at the files. The kubelet renews a token when 20 % of its life is left. */
const FILES_GOOD_FOR = 10_000;
/** Milliseconds before its expiry that a credential of a plugin is renewed. */
const RENEW_BEFORE = 10_000;

/** Bytes. The authorities that a whole system trusts have 250 KiB. */
const LARGEST = 1024 * 1024;

export class Credentials {
  readonly #connection: Connection;
  /** Milliseconds since the epoch. */
  readonly #now: () => number;
  #identity: Identity | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #exec: ExecCredential | undefined;
  #pending: Promise<Identity> | undefined;

  constructor(connection: Connection, now: () => number) {
    this.#connection = connection;
    this.#now = now;
  }

  /** Rejects with PenstockError when a file cannot be read or the plugin fails. */
  async identity(): Promise<Identity> {
    const age = this.#now() - this.#readAt;
    if (this.#identity && age >= 0 && age < FILES_GOOD_FOR && !this.#execExpired()) return this.#identity;
    this.#pending ??= this.#read().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** The server did not accept it. Several requests may find that out, one after the other: only the first counts. */
  refused(identity: Identity): void {
    if (identity !== this.#identity) return;
    this.#identity = undefined;
    this.#exec = undefined;
  }

  #execExpired(): boolean {
    const { exec } = this.#connection.user;
    if (exec === undefined) return false;
    if (this.#exec === undefined) return true;
    return this.#exec.expires !== undefined && this.#now() >= this.#exec.expires - RENEW_BEFORE;
  }

  async #read(): Promise<Identity> {
    const { user, ca: authority } = this.#connection;
    const ca = authority && (await read(authority));
    if (user.exec && this.#execExpired()) this.#exec = await execCredential(user.exec, this.#connection, ca);
    const token = user.token ? (await read(user.token)).trim() : this.#exec?.token;
    const { certificate } = user;
    const cert = certificate ? await read(certificate.cert) : this.#exec?.certificate?.cert;
    const key = certificate ? await read(certificate.key) : this.#exec?.certificate?.key;
    const authorization = token ? `Bearer ${token}` : this.#basic();
    this.#identity = { authorization, cert, key, ca };
    this.#readAt = this.#now();
    return this.#identity;
  }

  #basic(): string | undefined {
    const { basic } = this.#connection.user;
    return basic && `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`;
  }
}

async function read(secret: Secret): Promise<string> {
  if (secret.type === 'data') return secret.data;
  try {
    const bytes = readFileAtMost(secret.path, LARGEST);
    if (bytes.length > LARGEST) throw new Error(`it is longer than ${LARGEST / 1024} KiB`);
    return bytes.toString('utf8');
  } catch (error) {
    const message = `credentials: ${secret.path} cannot be read: ${messageOf(error)}`;
    throw new PenstockError('PENSTOCK_CREDENTIALS_UNREADABLE', message, {
      remedy:
        'Make the file readable for the user that penstock runs as; in a pod, check automountServiceAccountToken.',
    });
  }
}
