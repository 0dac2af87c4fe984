/** How long `nft list ruleset` takes while a hundred endpoints change a second, and how late these changes are meanwhile. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { slice } from '../objects.js';
import { filledTable, openDataplane } from './nftablesCore.js';

const CHANGES_PER_SECOND = 100;
/** Without being let end it would go on for ever. */
const LONGEST_MS = 40_000;

export interface ListedUnderChurn {
  /** Of each list; LONGEST_MS for one that was given up. */
  readonly listMs: readonly number[];
  /** Of each change, from the routing table to the end of the commit that holds it. */
  readonly latencyMs: readonly number[];
}

/** `patience`: whether the dataplane lets lists of others come to an end. */
export async function measureListedUnderChurn(
  services: number,
  endpoints: number,
  lists: number,
  patience: 'as the agent' | 'none',
): Promise<ListedUnderChurn> {
  const dataplane = openDataplane(
    patience === 'none' ? { over: async () => {}, changed: () => {} } : undefined,
  );
  const routing = filledTable(services, endpoints);
  await dataplane.sync(routing, routing.commit());
  const latencyMs: number[] = [];
  let going = true;
  const churn = async () => {
    const begun = performance.now();
    for (let made = 0; going; ) {
      const due = Math.floor(((performance.now() - begun) / 1000) * CHANGES_PER_SECOND);
      const times: number[] = [];
      for (; made < due; made++) {
        const object = slice((made * 7919) % services, endpoints, made + 1);
        routing.apply([{ type: 'upsert', object }]);
        times.push(begun + ((made + 1) * 1000) / CHANGES_PER_SECOND);
      }
      if (times.length > 0) {
        await dataplane.sync(routing, routing.commit());
        for (const at of times) latencyMs.push(performance.now() - at);
      }
      await sleep(1);
    }
  };
  const churning = churn();
  await sleep(1000);
  const listMs: number[] = [];
  for (let i = 0; i < lists; i++) {
    listMs.push(await listed());
    await sleep(4000);
  }
  going = false;
  await churning;
  await dataplane.close();
  return { listMs, latencyMs };
}

async function listed(): Promise<number> {
  const begun = performance.now();
  const nft = spawn('nft', ['list', 'ruleset'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const late = setTimeout(() => nft.kill('SIGKILL'), LONGEST_MS);
  const killed = await new Promise<boolean>((resolve) =>
    nft.once('exit', (_, signal) => resolve(signal !== null)),
  );
  clearTimeout(late);
  return killed ? LONGEST_MS : performance.now() - begun;
}
