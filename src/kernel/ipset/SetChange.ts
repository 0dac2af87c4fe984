/** One change of sets, as a value: it can be printed, compared and committed. One message each. */
import type { SetSpec } from './SetSpec.js';

export type SetChange =
  /** Nothing happens when it is there already, just so; EEXIST when it is another. */
  | { readonly action: 'create'; readonly set: SetSpec }
  /** IPSET_ERR_BUSY while a rule refers to it. When it is not there, ENOENT from older kernels. */
  | { readonly action: 'destroy'; readonly set: Pick<SetSpec, 'name'> }
  /** Removes all elements. ENOENT when there is no such set. */
  | { readonly action: 'flush'; readonly set: Pick<SetSpec, 'name'> }
  /**
   * `element` as SetType tells; `mark` for sets with marks: the whole mark of the packet. Nothing happens when the
   * element is there already, but that it gets the mark. IPSET_ERR_HASH_FULL when it is one too many.
   */
  | { readonly action: 'add'; readonly set: SetSpec; readonly element: string; readonly mark?: number }
  /** Nothing happens when the element is not there. */
  | { readonly action: 'delete'; readonly set: SetSpec; readonly element: string };
