/** Whether the queues of first packets that Services ask for do their work, as the kernel sees them. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueStatus } from '../../observe/admin/AgentStatus.js';
import { queueWords } from '../../routing/choice.js';

/** One row of /proc/net/netfilter/nfnetlink_queue (net/netfilter/nfnetlink_queue.c, seq_show). */
interface QueueRow {
  readonly waiting: number;
  /** Packets that found no room in it, and none in its socket. */
  readonly dropped: number;
  readonly last: number;
}

export interface QueueTest {
  readonly name: string;
  readonly passed: boolean;
  readonly says: string;
}

const PATH = '/proc/net/netfilter/nfnetlink_queue';
/** In it the thread that chooses has long decided on what waits. */
const PAUSE_MS = 250;
const NAMES = { choice: 'endpoints', hold: 'wake', accept: 'wake' } as const;

export async function queueTests(
  queues: readonly QueueStatus[],
  readQueues: () => string = () => readFileSync(PATH, 'utf8'),
): Promise<readonly QueueTest[]> {
  if (queues.length === 0) return [];
  let before: ReadonlyMap<number, QueueRow>;
  let after: ReadonlyMap<number, QueueRow>;
  try {
    before = rowsOf(readQueues());
    await sleep(PAUSE_MS);
    after = rowsOf(readQueues());
  } catch {
    // Without the module there is no such file.
    before = after = new Map();
  }
  return queues.map((queue) => {
    const numbers = numbersOf(queue);
    const rows = numbers.flatMap((number) => after.get(number) ?? []);
    const wrong = numbers
      .map((number) => faultOf(queue, number, before.get(number), after.get(number)))
      .find((fault) => fault !== undefined);
    const passed = wrong === undefined;
    return { name: NAMES[queue.kind], passed, says: wrong ?? saysOf(queue, rows) };
  });
}

function numbersOf({ queue, queues = 1 }: QueueStatus): readonly number[] {
  return Array.from({ length: queues }, (_, i) => (queue ?? -1) + i);
}

function faultOf(
  { kind, queue, why, otherwise, isWatched }: QueueStatus,
  number: number,
  before: QueueRow | undefined,
  after: QueueRow | undefined,
): string | undefined {
  if (queue === null) return `${otherwise}: ${why || 'the queue is not open yet'}`;
  if (after === undefined) return `${otherwise}: queue ${number} is bound to nobody`;
  const isStuck =
    kind === 'choice' &&
    before !== undefined &&
    before.waiting > 0 &&
    after.waiting >= before.waiting &&
    after.last === before.last;
  if (isStuck) return `queue ${number} is stuck: ${after.waiting} first packets wait and nobody decides`;
  if (why !== '') return `${otherwise}: ${why}`;
  if (!isWatched)
    return `queue ${number} has no watchdog: first packets wait if the agent is stopped. It is started again within ten seconds`;
  return undefined;
}

function saysOf({ kind, queue, queues, letPass }: QueueStatus, rows: readonly QueueRow[]): string {
  const waiting = rows.reduce((sum, row) => sum + row.waiting, 0);
  const dropped = rows.reduce((sum, row) => sum + row.dropped, 0);
  const what =
    kind === 'choice' ? 'are chosen for first packets' : 'for first packets of Services that sleep';
  const notes = [
    `${waiting} wait`,
    ...(dropped > 0 ? [`${dropped} found no room`] : []),
    ...(letPass > 0 ? [`let pass by the watchdog ${letPass} times`] : []),
  ];
  return `${what}: ${queueWords(queue ?? -1, queues)}, ${notes.join(', ')}`;
}

function rowsOf(text: string): ReadonlyMap<number, QueueRow> {
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  return new Map(
    rows.map(([number = -1, , waiting = 0, , , dropped = 0, userDropped = 0, last = 0]) => [
      number,
      { waiting, dropped: dropped + userDropped, last },
    ]),
  );
}
