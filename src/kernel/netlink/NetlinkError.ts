/** A request that the kernel refused or that got no answer. */
import { errnoName, errnoWords } from './errnoName.js';

export interface NetlinkErrorDetails {
  /** Negative, as in Node's system errors. */
  readonly errno: number;
  /** The kernel's own explanation (extended ACK), when it gave one. */
  readonly kernelText?: string | undefined;
  /** Where in its message the refused attribute is, bytes from the beginning of the header. */
  readonly offset?: number | undefined;
  /** Which message of a batch, from 0; the messages that bracket a transaction count. */
  readonly index?: number | undefined;
  /** The name, where the number has none of errno.h. */
  readonly code?: string;
  /** What happened, where the name of the error number does not say it well. */
  readonly words?: string;
  readonly cause?: unknown;
}

export class NetlinkError extends Error {
  readonly errno: number;
  /** 'EEXIST'. */
  readonly code: string;
  readonly kernelText: string | undefined;
  readonly offset: number | undefined;
  readonly index: number | undefined;

  /** `what` was to be done, in words: 'create nfacct object ct_state_invalid'. */
  constructor(what: string, details: NetlinkErrorDetails) {
    const code = details.code ?? errnoName(details.errno);
    const words = details.words ?? details.kernelText ?? errnoWords(details.errno);
    const which = details.index === undefined ? '' : `, message ${details.index}`;
    super(
      `${what}${which}: ${code}${words === undefined ? '' : ` (${words})`}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = 'NetlinkError';
    this.errno = details.errno;
    this.code = code;
    this.kernelText = details.kernelText;
    this.offset = details.offset;
    this.index = details.index;
  }
}
