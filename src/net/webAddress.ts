/** Addresses of servers of HTTP. */

/** Whether it is a URL that begins with http:// or https://. */
export function isWebAddress(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
