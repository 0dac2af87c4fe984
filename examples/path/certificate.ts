/** Certificates from Secrets, written anew: a proxy does not start with one that it cannot read, and one tenant's Secret would stop all. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { messageOf } from '../../src/errors.js';

/** PEM texts. */
export interface Secret {
  readonly cert: string;
  readonly key: string;
}

export interface Certificate extends Secret {
  /** `shop_front`, of its Secret. */
  readonly file: string;
}

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
/** OpenSSL refuses weaker ones at Debian's security level 2. */
const LEAST_RSA_BITS = 2048;
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

/** A text says what is wrong: `is not there`. */
export function certificateOf(name: string, secret: Secret | undefined): Certificate | string {
  if (secret === undefined) return 'is not there';
  try {
    const chain = (secret.cert.match(BLOCK) ?? []).map((block) => new X509Certificate(block));
    const [leaf] = chain;
    const privateKey = createPrivateKey(secret.key);
    if (leaf === undefined || !leaf.checkPrivateKey(privateKey)) return 'holds no certificate of its key';
    const { modulusLength = LEAST_RSA_BITS, namedCurve = CURVES[0] } = privateKey.asymmetricKeyDetails ?? {};
    if (modulusLength < LEAST_RSA_BITS || !CURVES.includes(namedCurve ?? '')) return 'holds a weak key';
    const cert = chain.map(String).join('');
    const key = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    createSecureContext({ cert, key });
    return { file: name.replace('/', '_'), cert, key };
  } catch (error) {
    return `holds no certificate with its key (${messageOf(error)})`;
  }
}
