/** The selftest in namespaces of its own, seen from inside: this process is their first, and they end with it. */
import { mkdtempSync } from 'node:fs';
import { messageOf, PenstockError } from '../../../errors.js';
import type { Explanation } from '../../../explain/explain.js';
import type { Mode } from '../../../explain/World.js';
import type { IpFamily } from '../../../net/ip.js';
import type { ServiceRow } from '../../../observe/admin/serviceRows.js';
import { dumpFailure } from '../dump/dumpFailure.js';
import { MODES } from '../modelFlags.js';
import type { Cell, CellResult } from './Cell.js';
import { cellsOf, inParallel } from './cellsOf.js';
import { checkCell } from './checkCell.js';
import { type DialOptions, dial } from './dial.js';
import { type Disruption, type DisruptionResult, disrupt } from './disrupt.js';
import { NODE, OUTSIDE, POD_GATEWAY, PODS } from './objects.js';
import { failures } from './Report.js';
import { TestAgent } from './TestAgent.js';
import { TestWorld } from './World.js';

export interface NamespacesTask {
  /** Those that were asked for: all of them must run. Undefined: all that this kernel can. */
  readonly modes: readonly Mode[] | undefined;
  readonly families: readonly IpFamily[];
  readonly disrupt: Disruption | undefined;
  /** Where an archive of the first mode with a failure goes; an absolute path. */
  readonly sysdump: string | undefined;
}

export interface NamespacesFound {
  readonly cells: readonly CellResult[];
  readonly disruptions: readonly DisruptionResult[];
  /** Modes that cannot be had here, and why. */
  readonly notes: readonly string[];
}

const AT_ONCE = 12;
const CLIENTS = ['pod', 'node', 'outside'] as const;

/** Writes what it found to standard output, as JSON. Ends at once when nobody is there to read it. */
export async function insideNamespaces(task: NamespacesTask): Promise<number> {
  process.stdin.resume().once('end', () => process.exit(2));
  try {
    process.stdout.write(`${JSON.stringify(await test(task))}\n`);
  } catch (error) {
    const { remedy } = error as { remedy?: string };
    process.stdout.write(`${JSON.stringify({ error: messageOf(error), remedy })}\n`);
  }
  await new Promise((resolve) => process.stdout.write('', resolve));
  process.exit(0);
}

async function test({ modes, families, disrupt: kind, sysdump }: NamespacesTask): Promise<NamespacesFound> {
  const world = await TestWorld.make();
  const cells: CellResult[] = [];
  const disruptions: DisruptionResult[] = [];
  const notes: string[] = [];
  const wanted = modes ?? MODES;
  const usable = kind === 'mode' ? await changeableModes(wanted, modes !== undefined, notes) : MODES;
  for (const mode of wanted.filter((each) => usable.includes(each))) {
    const agent = newAgent(mode);
    try {
      await agent.start();
    } catch (error) {
      await agent.end('SIGKILL');
      if (modes) throw error;
      notes.push(notHere(mode, error));
      continue;
    }
    const before = failures(cells, disruptions);
    if (kind) disruptions.push(...(await disrupt(kind, agent, world, usable)));
    else cells.push(...(await testMode(agent, world, families)));
    // The first failure; while the agent runs that can say most of it.
    if (sysdump !== undefined && before === 0 && failures(cells, disruptions) > 0)
      notes.push(await dumpFailure(sysdump));
    await agent.end('SIGTERM');
  }
  return { cells, disruptions, notes };
}

function newAgent(mode: Mode): TestAgent {
  return new TestAgent(mode, mkdtempSync('/run/selftest-'));
}

/**
 * Those that an agent can change to and from while it runs. Rejects with PENSTOCK_CANNOT_TEST when one that was asked for is none of
 * them, or there is none to change to: what was not counted has not passed.
 */
async function changeableModes(
  wanted: readonly Mode[],
  isAskedFor: boolean,
  notes: string[],
): Promise<readonly Mode[]> {
  if (isAskedFor && wanted.includes('userspace')) throw cannotTest(USERSPACE_RESTARTS);
  const usable = await usableModes(
    MODES.filter((mode) => mode !== 'userspace'),
    notes,
  );
  const lacking = isAskedFor ? wanted.find((mode) => !usable.includes(mode)) : undefined;
  if (lacking !== undefined) throw cannotTest(notes.find((note) => note.includes(lacking)) ?? lacking);
  if (usable.length < 2) throw cannotTest(`there is no other mode to change to: ${notes.join('; ')}`);
  notes.push(USERSPACE_RESTARTS);
  return usable;
}

const USERSPACE_RESTARTS =
  'mode userspace was not tested: its connections end with its process, so to change to it or from it is a restart';

function cannotTest(message: string): PenstockError {
  return new PenstockError('PENSTOCK_CANNOT_TEST', message, {
    remedy: '`penstock doctor` says which modes this kernel can.',
  });
}

/** Those in which an agent gets ready on this kernel. */
async function usableModes(modes: readonly Mode[], notes: string[]): Promise<readonly Mode[]> {
  const usable: Mode[] = [];
  for (const mode of modes) {
    const agent = newAgent(mode);
    try {
      await agent.start();
      usable.push(mode);
      await agent.end('SIGTERM');
    } catch (error) {
      await agent.end('SIGKILL');
      notes.push(notHere(mode, error));
    }
  }
  return usable;
}

function notHere(mode: Mode, error: unknown): string {
  return `mode ${mode} was not tested: ${messageOf(error).split('\n').at(-1)}`;
}

async function testMode(
  agent: TestAgent,
  world: TestWorld,
  families: readonly IpFamily[],
): Promise<readonly CellResult[]> {
  const client = await agent.client();
  const rows = await client.list<ServiceRow>('/v1/services');
  const cells = rows.flatMap((row) =>
    cellsOf(row, { mode: agent.mode, clients: CLIENTS, nodeAddresses: NODE, families }),
  );
  const dialers: Readonly<Record<string, (options: DialOptions) => ReturnType<typeof dial>>> = {
    pod: (options) => world.pods[0]?.dial(options) ?? dial(options),
    outside: (options) => world.outside.dial(options),
  };
  return inParallel(cells, AT_ONCE, (cell) =>
    checkCell(cell, {
      dial: dialers[cell.client] ?? dial,
      explain: async (of) => (await client.ask('/v1/explain', questionOf(of))) as Explanation,
      endpointsSpeak: true,
      nodeAddresses: [NODE.IPv4, NODE.IPv6, POD_GATEWAY, 'fe80::1'],
    }),
  );
}

function questionOf({ client, family, target }: Cell): Readonly<Record<string, string>> {
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  const [pod] = PODS;
  const clients: Readonly<Record<string, string>> = { pod: pod[family], outside: OUTSIDE[family] };
  return { client: clients[client] ?? 'node', to: `${host}:${target.port}/${target.protocol}` };
}
