/** A source of manifests over a folder of its own, and what it delivers. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import { ManifestSource, type ManifestTiming } from '../../../../src/kubernetes/manifests/ManifestSource.js';
import type { SourceListener } from '../../../../src/kubernetes/ObjectSource.js';
import { type ObjectChange, objectName, refOf } from '../../../../src/objects/ApiObject.js';
import type { Problem } from '../../../../src/objects/Problem.js';
import { serviceManifest } from '../../objects/samples.js';

/** Without events nothing happens for an hour, so that a test shows that the event was seen. */
export const EVENTS_ONLY: ManifestTiming = { settle: 20, rescan: 3_600_000 };
const DEADLINE_MS = 20_000;

export class Recorder implements SourceListener {
  readonly log: string[] = [];
  problemList: readonly Problem[] = [];

  changes(batch: readonly ObjectChange[]): void {
    for (const change of batch)
      this.log.push(
        change.type === 'delete'
          ? `- ${objectName(change.ref)}`
          : `+ ${objectName(refOf(change.object))} ${portOf(change)}`,
      );
  }

  complete(): void {
    this.log.push('complete');
  }

  problems(list: readonly Problem[]): void {
    this.problemList = list;
  }

  /** The changes since the last call, once there are as many as expected or the deadline has passed. */
  async next(count: number): Promise<string[]> {
    await until(() => this.log.length >= count);
    return this.log.splice(0);
  }
}

function portOf(change: ObjectChange): number | undefined {
  if (change.type !== 'upsert' || change.object.kind !== 'Service') return undefined;
  return change.object.ports[0]?.port;
}

export async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!condition() && Date.now() < end) await wait(5);
}

export function cart(port: number): string {
  return `${JSON.stringify(serviceManifest({ ports: [{ port }] }))}\n`;
}

export function named(name: string, port: number): string {
  return `${JSON.stringify(serviceManifest({ ports: [{ port }] }, { name }))}\n`;
}

export function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** As editors and tools do it, so that no half of a file is ever seen. */
export function replace(path: string, text: string): void {
  write(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}

interface Running {
  readonly path: string;
  readonly seen: Recorder;
  readonly source: ManifestSource;
}

export async function run(
  t: Test,
  files: Record<string, string>,
  timing = EVENTS_ONLY,
  sub = '',
): Promise<Running> {
  const folder = t.testdir({});
  for (const [name, text] of Object.entries(files)) write(join(folder, name), text);
  const path = join(folder, sub);
  const source = new ManifestSource(path, timing);
  t.teardown(() => source.stop());
  const seen = new Recorder();
  await source.start(seen);
  return { path, seen, source };
}
