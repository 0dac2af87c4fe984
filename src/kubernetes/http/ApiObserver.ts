/** Hears of every request to the API server, whoever wants to count them. */
export interface ApiObserver {
  /** The server began to answer, or `status` is undefined: no answer came. `host`: `10.0.0.1:6443`. */
  answered(method: string, host: string, status: number | undefined): void;
  /** An answer was read to its end, or as far as anybody wanted. Watches, which have no end of their own, are not told of. */
  completed(exchange: ApiExchange): void;
}

export interface ApiExchange {
  readonly method: string;
  readonly host: string;
  /** Milliseconds from the start of the request. */
  readonly milliseconds: number;
  /** Of the bodies. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}
