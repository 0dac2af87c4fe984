/** One task in namespaces of its own: the first process in them. Writes one JSON value, or `{ error }`. */
import { TestWorld } from '../../src/cli/see/selftest/World.js';
import { messageOf } from '../../src/errors.js';
import type { ContenderCommand } from './Contender.js';
import { type ConformanceTask, conformance, serveScenario } from './conformance.js';
import { type FlowsTask, flows } from './flows.js';
import { type SpeedTask, speed } from './speed.js';

export type InsideTask = { readonly penstock: string } & (
  | ({ readonly do: 'flows' } & FlowsTask)
  | ({ readonly do: 'speed' } & SpeedTask)
  | ({ readonly do: 'conformance' } & ConformanceTask)
);

/** How the runner of the conformance flows calls it. */
export interface ScenarioTask {
  readonly do: 'scenario';
  readonly contender: ContenderCommand;
}

/** Ends at once when nobody is there to read it. */
export async function inside(task: InsideTask | ScenarioTask): Promise<never> {
  if (task.do === 'scenario') return serveScenario(task.contender);
  process.stdin.resume().once('end', () => process.exit(2));
  const found = await answer(task).catch((error: unknown) => ({ error: messageOf(error) }));
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(found)}\n`, resolve));
  process.exit(0);
}

async function answer(task: InsideTask): Promise<object> {
  if (task.do === 'conformance') return conformance(task);
  const world = await TestWorld.make([task.penstock, ['selftest', '--role', 'peer']]);
  return task.do === 'flows' ? flows(task, world) : speed(task);
}
