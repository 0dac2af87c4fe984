/** A Secret's certificate and key, written anew: a proxy starts with none that it cannot read, and one tenant's would stop all. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Key and chain of `data` (base64, as in the object) as one PEM text. Throws where OpenSSL, as Debian sets it, would refuse it. */
export function pemOf(data: Readonly<Record<string, unknown>>): string {
  const [cert, key] = ['tls.crt', 'tls.key'].map((name) =>
    Buffer.from(String(data[name]), 'base64').toString(),
  );
  const privateKey = createPrivateKey(key ?? '');
  const chain = (cert?.match(BLOCK) ?? []).map((block) => new X509Certificate(block));
  if (!chain[0]?.checkPrivateKey(privateKey)) throw new Error('no certificate of the key');
  const pem = `${privateKey.export({ type: 'pkcs8', format: 'pem' })}${chain.join('')}`;
  createSecureContext({ cert: chain.join(''), key: pem, ciphers: 'DEFAULT@SECLEVEL=2' });
  return pem;
}
