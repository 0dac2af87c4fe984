/** What must not end the agent: more than anybody expects, and faults of our own. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { ManifestSet } from '../../../../src/kubernetes/manifests/ManifestSet.js';
import { ManifestSource } from '../../../../src/kubernetes/manifests/ManifestSource.js';
import type { SourceListener } from '../../../../src/kubernetes/ObjectSource.js';
import { MOST_PROBLEMS, type Problem } from '../../../../src/objects/Problem.js';
import { serviceManifest, sliceManifest } from '../../objects/samples.js';

const TIMING = { settle: 5, rescan: 40 };
const DEADLINE_MS = 20_000;

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!condition() && Date.now() < end) await wait(5);
}

const named = (name: string) => JSON.stringify(serviceManifest({}, { name }));

/** As editors do it, so that no half of a file is seen. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}

/** What was delivered, and the problems that were told last; `trouble`: when there were any. `fails`: its next changes are too much for it. */
class Listener implements SourceListener {
  readonly names: string[] = [];
  told: readonly Problem[] = [];
  trouble: readonly Problem[] = [];
  fails = 0;

  changes(batch: Parameters<SourceListener['changes']>[0]): void {
    if (this.fails-- > 0) throw new Error('no room');
    for (const change of batch) if (change.type === 'upsert') this.names.push(change.object.name);
  }
  complete(): void {}
  problems(list: readonly Problem[]): void {
    this.told = list;
    if (list.length > 0) this.trouble = list;
  }
  text(): string {
    return this.trouble.map(({ subject, message }) => `${subject}: ${message}`).join('\n');
  }
}

t.test('130,000 slices without a Service: as many problems, and the first thousand are named', async (t) => {
  const count = 130_000;
  const set = new ManifestSet();
  set.replace(
    'a.json',
    Array.from({ length: count }, (_, i) => ({
      raw: sliceManifest({ endpoints: [] }, { name: `s${i}` }),
      line: undefined,
      apiVersion: undefined,
      kind: undefined,
    })),
  );
  const { problems, changes } = set.update([]);
  t.equal(changes.length, count);
  t.equal(problems.length, MOST_PROBLEMS + 1);
  t.equal(problems.at(-1)?.message, `${count - MOST_PROBLEMS} more problems; the first 1000 are named`);
});

t.test('what has not changed is the same object after the next update', async (t) => {
  const set = new ManifestSet();
  const at = (name: string) => ({
    raw: serviceManifest({}, { name }),
    line: undefined,
    apiVersion: undefined,
    kind: undefined,
  });
  set.replace('a.json', [at('a')], 1000);
  const [first] = set.update([]).changes;
  set.replace('b.json', [at('b')], 2000);
  t.equal(set.update([]).changes.length, 1);
  set.replace('a.json', [at('a')], 3000);
  t.same(set.update([]).changes, [], 'read anew, it keeps its age');
  t.match(first, { object: { created: 1000 } });
});

t.test('many files that cannot be read, beside many that can: no product', async (t) => {
  const set = new ManifestSet();
  for (let i = 0; i < 20_000; i++) set.replace(`/m/good/${i}.yaml`, []);
  const began = performance.now();
  const { problems } = set.update(
    Array.from({ length: 20_000 }, (_, i) => ({ path: `/m/bad/${i}.yaml`, message: 'cannot be read' })),
  );
  t.ok(performance.now() - began < 2000);
  t.match(problems[0]?.message, /nothing of it is used$/);
  for (const path of ['/m/good/', '/m', '/m/good/7.yaml', '/'])
    t.match(
      set.update([{ path, message: 'cannot be read' }]).problems[0]?.message,
      /last good content stays in force$/,
    );
});

t.test('a listener that fails hears of it, and of everything that comes later', async (t) => {
  const folder = t.testdir({ 'a.json': named('a') });
  const source = new ManifestSource(folder, TIMING);
  t.teardown(() => source.stop());
  const listener = new Listener();
  await source.start(listener);
  listener.fails = 1;
  replace(join(folder, 'b.json'), named('b'));
  await until(() => listener.trouble.length > 0);
  t.match(listener.text(), /^manifests .*: could not be looked at: no room; .*please report it\)$/);
  replace(join(folder, 'c.json'), named('c'));
  await until(() => listener.names.includes('c'));
  await until(() => listener.told.length === 0);
  t.same(listener.told, [], 'the next look went well');
  t.same(listener.names, ['a', 'b', 'c'], 'what it failed at comes again');
});

t.test(
  'a file that we fail at keeps its content, costs the others nothing and is tried when it changes',
  async (t) => {
    const folder = t.testdir({ 'a.json': named('a'), 'b.json': named('b') });
    const source = new ManifestSource(folder, TIMING);
    t.teardown(() => source.stop());
    const listener = new Listener();
    await source.start(listener);
    const { replace: real } = ManifestSet.prototype;
    let broken = true;
    t.intercept(ManifestSet.prototype, 'replace', {
      value(
        this: ManifestSet,
        path: string,
        ...rest: Parameters<typeof real> extends [string, ...infer R] ? R : never
      ) {
        if (broken && path.endsWith('a.json')) throw new RangeError('Maximum call stack size exceeded');
        real.call(this, path, ...rest);
      },
    });
    replace(join(folder, 'a.json'), named('a2'));
    await until(() => listener.trouble.length > 0);
    t.match(
      listener.text(),
      /a\.json: cannot be used: Maximum call stack .*its last good content stays in force$/,
    );
    replace(join(folder, 'b.json'), named('b2'));
    await until(() => listener.names.includes('b2'));
    broken = false;
    replace(join(folder, 'a.json'), named('a3'));
    await until(() => listener.names.includes('a3') && listener.told.length === 0);
    t.same(listener.names, ['a', 'b', 'b2', 'a3']);
    t.same(listener.told, []);
  },
);
