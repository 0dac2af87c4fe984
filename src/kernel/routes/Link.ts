/** A network interface. */
export interface Link {
  readonly name: string;
  /** The kernel's number for it in its network namespace; another one when it is made anew. */
  readonly index: number;
  /** `dummy`, `veth`, `bridge`; undefined for hardware. */
  readonly kind: string | undefined;
  readonly isUp: boolean;
}
