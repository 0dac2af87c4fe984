/** A few things that the objects ask for, read back from the kernel: what `penstock status` tests besides connections. */
export interface ReadBack {
  /** Elements, chains or virtual servers that were asked for. */
  readonly asked: number;
  /** The first that is not as it should be, in the words of the mode; '' when all are. */
  readonly wrong: string;
}
