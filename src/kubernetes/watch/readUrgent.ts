/** The few objects that everything else needs, asked for before all others: at the start of a node its pods look for them. */
import { append } from '../../append.js';
import type { ObjectChange } from '../../objects/ApiObject.js';
import type { Clock } from '../../time/Clock.js';
import type { ApiTransport } from '../http/ApiTransport.js';
import { listPages } from './listPages.js';
import { ResourceStore } from './ResourceStore.js';
import { type Resource, urgentResources } from './resources.js';

export interface ReadUrgentOptions {
  readonly transport: ApiTransport;
  readonly nodeName: string;
  /** Label value of the Services to serve; '' for those without the label. */
  readonly serviceProxyName: string;
  readonly clock: Clock;
  /** Aborted: the result is not needed any more. */
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds. A server that takes longer keeps nothing else waiting. */
const PATIENCE_MS = 1000;

/** Each Service with all of its slices, and the Node. Undefined when any of it cannot be read, or not soon. Never rejects. */
export async function readUrgent(options: ReadUrgentOptions): Promise<readonly ObjectChange[] | undefined> {
  const { transport, nodeName, serviceProxyName, clock } = options;
  const request = new AbortController();
  const giveUp = () => request.abort();
  options.signal?.addEventListener('abort', giveUp, { once: true });
  const read = async (resource: Resource): Promise<readonly ObjectChange[]> => {
    const snapshot = new ResourceStore(resource).snapshot();
    const onItem = (raw: unknown) => snapshot.add(raw);
    const { signal } = request;
    await listPages({ resource, transport, clock, signal, cut: 'pages', onItem, onHeard: () => {} });
    return snapshot.take();
  };
  let cancel = () => {};
  const late = new Promise<undefined>((resolve) => {
    cancel = clock.after(PATIENCE_MS, () => resolve(undefined));
  });
  const all = Promise.all(urgentResources(nodeName, serviceProxyName).map(read));
  try {
    const lists = await Promise.race([all.catch(() => undefined), late]);
    if (lists === undefined) return undefined;
    const changes: ObjectChange[] = [];
    for (const list of lists) append(changes, list);
    return changes;
  } finally {
    cancel();
    // Many calls have one signal.
    options.signal?.removeEventListener('abort', giveUp);
    giveUp();
  }
}
