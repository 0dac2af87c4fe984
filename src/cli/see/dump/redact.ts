/** Texts without what lets their reader in: keys, tokens, passwords. Rather too much goes than too little. */

const REMOVED = '(removed)';

/**
 * In this order: whole blocks first. Much of the text is what others have written: no part that may match at every character has an
 * end that is not bounded, so that a text takes time by its length.
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [^-]+-----[\s\S]*?(-----END [^-]+-----|$)/g, REMOVED],
  // JSON Web Tokens, as service accounts have them, and pieces of them: a head is `{"` in base64 and may be long, as certificates are in some.
  [/\beyJ[\w-]{8,}(\.[\w-]*)*/g, REMOVED],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${REMOVED}`],
  [/(\b[a-z][a-z0-9+.-]{0,30}:\/\/)[^/@\s"']+@/gi, `$1${REMOVED}@`],
  // `token: x`, `"client-key-data": "x"`, `--password=x`, `--token x`.
  [
    /((?:token|passwor[dt]|passwd|secret|credential|private[-_]?key|(?:key|certificate|cert|authority)[-_]?data|api[-_]?key|authorization)[\w.-]{0,100}["']?\s{0,40}(?:[:=]|\s)\s{0,40})("(?:\\.|[^"\\])*"|'[^']*'|[^\s,}\]"']+)/gi,
    `$1"${REMOVED}"`,
  ],
];

export function redact(text: string): string {
  return SECRETS.reduce((result, [secret, instead]) => result.replace(secret, instead), text);
}
