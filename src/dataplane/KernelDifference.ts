/** Where the kernel is not as the objects ask: what `penstock diff` shows. */
export interface KernelDifference {
  /** `+`: wanted and not there. `-`: there and not wanted. `~`: there, and other than wanted. */
  readonly sign: '+' | '-' | '~';
  /** In the words of the mode: `element of endpoints`, `rule in KUBE-SERVICES`, `real server`. */
  readonly what: string;
  /** `namespace/service:port`; '' for what belongs to no Service, or to all. */
  readonly service: string;
  readonly text: string;
}

/** A table, program or set of the mode that is not there at all: nothing behind it needs to be listed. */
export function nothingThere(what: string, servicePorts: number): KernelDifference {
  return {
    sign: '+',
    what,
    service: '',
    text: `is not in the kernel: ${servicePorts} service ports are not served by it`,
  };
}
