/** Port ranges as kube-proxy's userspace mode takes them: `lo-hi`, `base+offset` or a single port. */
export interface PortRange {
  /** 1..65535, or 0 in ANY_PORT */
  readonly first: number;
  /** first..65535, inclusive */
  readonly last: number;
}

/** What '' and '0' say: any port that the kernel chooses. */
export const ANY_PORT: PortRange = { first: 0, last: 0 };

/** Undefined when the text is no range. */
export function parsePortRange(text: string): PortRange | undefined {
  if (/^\s*(0(-0)?)?\s*$/.test(text)) return ANY_PORT;
  const match = /^(\d{1,5})(?:([-+])(\d{1,5}))?$/.exec(text.trim());
  if (!match) return undefined;
  const first = Number(match[1]);
  const second = Number(match[3]);
  const last = match[2] === '-' ? second : match[2] === '+' ? first + second : first;
  return first >= 1 && first <= last && last <= 65535 ? { first, last } : undefined;
}
