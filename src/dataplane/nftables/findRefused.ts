/** Finds the service ports that the kernel refuses, by halves, in a fresh table that never comes to be. */
import { PROBE_TABLE } from '../../kernel/nftables/features.js';
import type { Transaction } from '../../kernel/nftables/Transaction.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { isMomentary } from '../family/momentary.js';
import type { NftablesSettings } from './desired/NftablesSettings.js';
import { planFull } from './plan/planFull.js';

/** More than this, and it is not the service ports that are at fault. */
const MOST = 64;
/** How often the kernel is asked about one service port when its answer may be another a moment later. */
const ASKS = 3;

/** Asks the kernel without changing anything: what it says, undefined when it would take it. */
export type Check = (transaction: Transaction) => Promise<Error | undefined>;

export interface RefusedServicePort {
  readonly port: ServicePort;
  /** What the kernel says. */
  readonly error: Error;
}

/** None when the kernel takes each of `ports`, and when it refuses so many that the fault must be elsewhere. */
export async function findRefused(
  ports: readonly ServicePort[],
  settings: NftablesSettings,
  check: Check,
): Promise<readonly RefusedServicePort[]> {
  const found: RefusedServicePort[] = [];
  const ask = async (list: readonly ServicePort[]) => {
    const { transaction } = await planFull(list, settings, undefined, PROBE_TABLE);
    return check(transaction);
  };
  const askAgain = async (list: readonly ServicePort[]) => {
    let error = await ask(list);
    for (let asks = 1; asks < ASKS && error && isMomentary(error); asks++) error = await ask(list);
    return error;
  };
  const search = async (list: readonly ServicePort[]): Promise<void> => {
    if (found.length > MOST) return;
    const error = await (list.length === 1 ? askAgain(list) : ask(list));
    if (error === undefined) return;
    const [port] = list;
    if (list.length > 1) {
      const half = list.length >>> 1;
      await search(list.slice(0, half));
      await search(list.slice(half));
    } else if (port) found.push({ port, error });
  };
  // An empty table that is refused is nobody's fault among the service ports.
  if ((await ask([])) !== undefined) return [];
  await search(ports);
  return found.length > MOST ? [] : found;
}
