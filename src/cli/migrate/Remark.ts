/** What a report says before kube-proxy is replaced. */
export const SECTIONS = {
  configuration: 'Configuration',
  services: 'Services that behave differently',
  ports: 'Ports that processes hold',
  rules: 'Rules of others',
  connections: 'Connections',
} as const;

export type Section = keyof typeof SECTIONS;

export interface Remark {
  readonly section: Section;
  /** `attend`: somebody should decide before the swap. `note`: so it is, and it costs nobody a connection. */
  readonly level: 'attend' | 'note';
  /** `shop/cart:http`, `nodePortAddresses`, `port 30080/TCP`. */
  readonly subject: string;
  readonly text: string;
}

export interface Report {
  readonly node: string;
  /** `kube-proxy, mode iptables`; undefined: its rules were not looked at. */
  readonly from: string | undefined;
  /** penstock's. */
  readonly mode: string;
  readonly services: number;
  readonly findings: readonly Remark[];
  /** Sections that could not be looked at, and why. */
  readonly unseen: readonly { readonly section: Section; readonly why: string }[];
  /** Connections to Services that are open now, and how many of them the swap ends; undefined: not looked at. */
  readonly connections: { readonly open: number; readonly touched: number } | undefined;
}
