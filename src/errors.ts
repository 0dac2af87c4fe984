/** Every code there is, in the order of the alphabet. docs/errors.md says of each what it means and what to do. */
export const ERROR_CODES = [
  'PENSTOCK_API_BROKEN',
  'PENSTOCK_API_NOT_AN_EVENT',
  'PENSTOCK_API_NOT_A_LIST',
  'PENSTOCK_API_OBJECT_TOO_LONG',
  'PENSTOCK_API_REFUSED',
  'PENSTOCK_API_SILENT',
  'PENSTOCK_API_UNREACHABLE',
  'PENSTOCK_CANNOT_BIND',
  'PENSTOCK_CANNOT_TEST',
  'PENSTOCK_CANNOT_TRACE',
  'PENSTOCK_CONFIG_INVALID',
  'PENSTOCK_CONFIG_UNREADABLE',
  'PENSTOCK_CONFIG_UNUSABLE',
  'PENSTOCK_CONFIG_UNWRITABLE',
  'PENSTOCK_CONNTRACK_UNSUPPORTED',
  'PENSTOCK_CREDENTIALS_UNREADABLE',
  'PENSTOCK_EXEC_CREDENTIAL',
  'PENSTOCK_IPSET_REFUSED',
  'PENSTOCK_IPSET_UNSUPPORTED',
  'PENSTOCK_IPVS_REFUSED',
  'PENSTOCK_IPVS_SCHEDULER',
  'PENSTOCK_IPVS_UNSUPPORTED',
  'PENSTOCK_KUBECONFIG_UNUSABLE',
  'PENSTOCK_LINK_FOREIGN',
  'PENSTOCK_LOCALHOST_LISTEN',
  'PENSTOCK_MANIFESTS_MISSING',
  'PENSTOCK_MANIFESTS_NONE',
  'PENSTOCK_MANIFESTS_UNREADABLE',
  'PENSTOCK_MASTER_INVALID',
  'PENSTOCK_NATIVE_MISSING',
  'PENSTOCK_NFACCT_UNSUPPORTED',
  'PENSTOCK_NFTABLES_REFUSED',
  'PENSTOCK_NFTABLES_UNSUPPORTED',
  'PENSTOCK_NODE_HELD',
  'PENSTOCK_NODE_NAME_UNKNOWN',
  'PENSTOCK_NOT_PRIVILEGED',
  'PENSTOCK_NO_AGENT',
  'PENSTOCK_NO_PACKET',
  'PENSTOCK_NO_SOURCE',
  'PENSTOCK_PROXY_UNAVAILABLE',
  'PENSTOCK_RESTORE_REFUSED',
  'PENSTOCK_RULES_UNREADABLE',
  'PENSTOCK_RULE_UNKNOWN',
  'PENSTOCK_SCALER_LISTEN',
  'PENSTOCK_SOURCE_UNREADABLE',
  'PENSTOCK_STATE_UNWRITABLE',
  'PENSTOCK_SYSCTL_FAILED',
  'PENSTOCK_WRONG_CALL',
  'PENSTOCK_XTABLES_FAILED',
  'PENSTOCK_XTABLES_MISSING',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * Errors that a person reads: a stable code, what happened, and what to do about it.
 */
export class PenstockError extends Error {
  /** Stable, for tests and searches: `PENSTOCK_CONFIG_INVALID`. */
  readonly code: ErrorCode;
  /** What the reader can do, in one sentence; undefined when there is nothing to do. */
  readonly remedy: string | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; remedy?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'PenstockError';
    this.code = code;
    this.remedy = options.remedy;
  }
}

/** The message of anything that was thrown, and in a line of its own after `→` what to do, where there is something. */
export function messageWithRemedy(error: unknown): string {
  const remedy = error instanceof PenstockError && error.remedy ? `\n→ ${error.remedy}` : '';
  return `${messageOf(error)}${remedy}`;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What `work` gives; undefined when it throws. */
export function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
