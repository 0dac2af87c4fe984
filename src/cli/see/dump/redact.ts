/** Texts without what lets their reader in: keys, tokens, passwords. Rather too much goes than too little. */

const REMOVED = '(removed)';

/** In this order: whole blocks first. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [^-]+-----[\s\S]*?(-----END [^-]+-----|$)/g, REMOVED],
  // JSON Web Tokens, as service accounts have them.
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g, REMOVED],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${REMOVED}`],
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^/@\s"']+@/gi, `$1${REMOVED}@`],
  // `token: x`, `"client-key-data": "x"`, `--password=x`, `--token x`.
  [
    /((?:"|'|--)?[\w.-]*(?:token|passwor[dt]|passwd|secret|credential|private[-_]?key|(?:key|certificate|cert|authority)[-_]?data|api[-_]?key|authorization)[\w.-]*["']?\s*(?:[:=]|\s)\s*)("(?:\\.|[^"\\])*"|'[^']*'|[^\s,}\]"']+)/gi,
    `$1"${REMOVED}"`,
  ],
];

export function redact(text: string): string {
  return SECRETS.reduce((result, [secret, instead]) => result.replace(secret, instead), text);
}
