/** Where the page gets what it shows: the admin API, in the agent itself or through its socket. */
export interface PageSource {
  /** `/v1/…` and its words → JSON. Rejects with a PenstockError. */
  readonly ask: (path: string, words?: Readonly<Record<string, string>>) => Promise<unknown>;
  /** Calls `heard` for each failed connection, and `ended` when no more will come. Returns how to stop. */
  readonly follow: (heard: () => void, ended: () => void) => () => void;
}
