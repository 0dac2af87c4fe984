/** What an object of the configuration is called. */
export interface ObjectName {
  /** '' for objects of the cluster. */
  readonly namespace: string;
  readonly name: string;
}
