/** Communities of BGP as they are written: `65000:100` (RFC 1997), `large:65000:1:2` (RFC 8092), and well-known names. */
export const COMMUNITY_FORM = 'a community such as 65000:100 or large:65000:1:2';

/** Either one number of 32 bits, or three. */
export type CommunityValue =
  | { readonly type: 'standard'; readonly value: number }
  | { readonly type: 'large'; readonly values: readonly [number, number, number] };

/** RFC 1997, 3765, 7999, 8326. */
const WELL_KNOWN: Readonly<Record<string, number>> = {
  'graceful-shutdown': 0xffff_0000,
  blackhole: 0xffff_029a,
  'no-export': 0xffff_ff01,
  'no-advertise': 0xffff_ff02,
  'local-as': 0xffff_ff03,
  'no-peer': 0xffff_ff04,
};

/** Undefined when the text is none. */
export function parseCommunityText(text: string): CommunityValue | undefined {
  const known = Object.hasOwn(WELL_KNOWN, text) ? WELL_KNOWN[text] : undefined;
  if (known !== undefined) return { type: 'standard', value: known };
  const large = /^large:(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text)?.slice(1).map(Number);
  if (large) {
    const [a = 0, b = 0, c = 0] = large;
    return Math.max(a, b, c) > 0xffff_ffff ? undefined : { type: 'large', values: [a, b, c] };
  }
  const pair = /^(\d{1,5}):(\d{1,5})$/.exec(text)?.slice(1).map(Number);
  if (!pair) return undefined;
  const [high = 0, low = 0] = pair;
  if (high > 0xffff || low > 0xffff) return undefined;
  return { type: 'standard', value: high * 0x1_0000 + low };
}

export function isCommunity(text: string): boolean {
  return parseCommunityText(text) !== undefined;
}
