import { renameSync, rmSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { PenstockError } from '../../../../src/errors.js';
import { ManifestSource } from '../../../../src/kubernetes/manifests/ManifestSource.js';
import type { SourceListener } from '../../../../src/kubernetes/ObjectSource.js';
import type { ObjectChange } from '../../../../src/objects/ApiObject.js';
import { tableOf } from '../../../support/builders.js';
import { serviceManifest } from '../../objects/samples.js';
import { cart, EVENTS_ONLY, named, Recorder, replace, run, until, write } from './runningSource.js';

t.test('what is there at the start is delivered, then complete', async (t) => {
  const { seen, path } = await run(t, {
    'a.yaml': `${cart(80)}---\n${named('shop', 81)}`,
    'b.json': named('pay', 82),
    'sub/deep/c.yml': named('mail', 83),
    '.hidden.yaml': named('hidden', 84),
    '.git/d.yaml': named('hidden', 84),
    'a.yaml~': named('backup', 85),
    'README.md': '# services',
    'config.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n',
    'bad.yaml': 'a: [',
  });
  t.strictSame(seen.log, [
    '+ Service shop/cart 80',
    '+ Service shop/shop 81',
    '+ Service shop/pay 82',
    '+ Service shop/mail 83',
    'complete',
  ]);
  t.strictSame(
    seen.problemList.map(({ subject, where, severity }) => [subject, where, severity]),
    [
      [join(path, 'bad.yaml'), `${join(path, 'bad.yaml')}:1`, undefined],
      [join(path, 'config.yaml'), join(path, 'config.yaml'), 'note'],
    ],
  );
});

t.test('an empty folder is complete at once and filled later', async (t) => {
  const { seen, path } = await run(t, {});
  t.strictSame(await seen.next(1), ['complete']);
  write(join(path, 'a.yaml'), cart(80));
  t.strictSame(await seen.next(1), ['+ Service shop/cart 80']);
});

t.test('paths that can never work', async (t) => {
  const folder = t.testdir({ 'README.md': 'x', only: { 'notes.txt': 'x' } });
  symlinkSync('loop.yaml', join(t.testdirName, 'loop.yaml'));
  const cases: [path: string, code: string, message: RegExp][] = [
    [join(folder, 'none'), 'PENSTOCK_MANIFESTS_MISSING', /none does not exist$/],
    [
      join(folder, 'only'),
      'PENSTOCK_MANIFESTS_NONE',
      /no \*\.yaml, \*\.yml, \*\.json file, only .*notes\.txt$/,
    ],
    [join(folder, 'loop.yaml'), 'PENSTOCK_MANIFESTS_UNREADABLE', /loop\.yaml cannot be read: ELOOP/],
    ['/dev/null', 'PENSTOCK_MANIFESTS_UNREADABLE', /\/dev\/null is neither a file nor a folder$/],
  ];
  for (const [path, code, message] of cases) {
    const source = new ManifestSource(path);
    const error = await source.start(new Recorder()).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    await source.stop();
    t.ok(error instanceof PenstockError && error.remedy, path);
    t.match(error, { code, message }, path);
  }
});

t.test('each way of changing files leads to the change it means', async (t) => {
  const { seen, path } = await run(t, { 'a.yaml': cart(80), 'b.yaml': named('shop', 81) });
  await seen.next(3);
  const file = join(path, 'a.yaml');
  const sub = join(path, 'new/deep');
  const steps: [name: string, act: () => void, changes: string[]][] = [
    ['written in place', () => writeFileSync(file, cart(90)), ['+ Service shop/cart 90']],
    ['replaced', () => replace(file, cart(91)), ['+ Service shop/cart 91']],
    ['new file', () => write(join(path, 'c.yaml'), named('pay', 82)), ['+ Service shop/pay 82']],
    ['removed', () => rmSync(join(path, 'c.yaml')), ['- Service shop/pay']],
    ['new folders', () => write(join(sub, 'd.yaml'), named('mail', 83)), ['+ Service shop/mail 83']],
    ['file in them', () => write(join(sub, 'e.yaml'), named('pay', 84)), ['+ Service shop/pay 84']],
    ['edit in them', () => replace(join(sub, 'd.yaml'), named('mail', 85)), ['+ Service shop/mail 85']],
    [
      'folder gone',
      () => rmSync(join(path, 'new'), { recursive: true }),
      ['- Service shop/mail', '- Service shop/pay'],
    ],
    ['folder back', () => write(join(sub, 'd.yaml'), named('mail', 86)), ['+ Service shop/mail 86']],
    ['edit after that', () => replace(join(sub, 'd.yaml'), named('mail', 87)), ['+ Service shop/mail 87']],
    [
      'renamed to a hidden name',
      () => renameSync(join(path, 'b.yaml'), join(path, '.b.yaml.swp')),
      ['- Service shop/shop'],
    ],
    [
      'only one of several objects differs',
      () => replace(file, `${cart(91)}---\n${named('shop', 88)}`),
      ['+ Service shop/shop 88'],
    ],
    ['emptied', () => truncateSync(file), ['- Service shop/cart', '- Service shop/shop']],
  ];
  for (const [name, act, changes] of steps) {
    act();
    t.strictSame((await seen.next(changes.length)).sort(), changes, name);
  }
  t.strictSame(seen.problemList, []);
});

t.test('what means no change delivers none', async (t) => {
  const { seen, path } = await run(t, { 'a.yaml': cart(80), 'b.yaml': named('shop', 81) });
  await seen.next(3);
  const file = join(path, 'a.yaml');
  const steps: (() => void)[] = [
    () => utimesSync(file, new Date(), new Date()),
    () => replace(file, `# a comment\n---\n${cart(80)}`),
    () => renameSync(file, join(path, 'moved.yaml')),
    () => write(join(path, '.a.yaml.swp'), named('swap', 1)),
  ];
  for (const [i, step] of steps.entries()) {
    step();
    // The step before the marker would be delivered with it or before it.
    replace(join(path, 'marker.yaml'), named('marker', i + 1));
    t.strictSame(await seen.next(1), [`+ Service shop/marker ${i + 1}`], `step ${i}`);
  }
});

t.test('a file that is back at once was never gone', async (t) => {
  const { seen, path } = await run(t, { 'a.yaml': cart(80) }, { settle: 200, rescan: 3_600_000 });
  await seen.next(2);
  rmSync(join(path, 'a.yaml'));
  write(join(path, 'a.yaml'), cart(80));
  write(join(path, 'marker.yaml'), named('marker', 1));
  t.strictSame(await seen.next(1), ['+ Service shop/marker 1']);
});

t.test('a mounted ConfigMap is swapped at once', async (t) => {
  const folder = t.testdir({});
  const version = (name: string, files: Record<string, string>) => {
    for (const [file, text] of Object.entries(files)) write(join(folder, name, file), text);
    symlinkSync(name, join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  };
  version('..2026_1', { 'a.yaml': cart(80), 'sub/b.yaml': named('shop', 81) });
  symlinkSync('..data/a.yaml', join(folder, 'a.yaml'));
  symlinkSync('..data/sub', join(folder, 'sub'));
  const sources = [folder, join(folder, 'a.yaml')].map((path) => new ManifestSource(path, EVENTS_ONLY));
  const seen = sources.map(() => new Recorder());
  t.teardown(() => Promise.all(sources.map((source) => source.stop())));
  for (const [i, source] of sources.entries()) await source.start(seen[i] as Recorder);
  t.strictSame(await seen[0]?.next(3), ['+ Service shop/cart 80', '+ Service shop/shop 81', 'complete']);
  t.strictSame(await seen[1]?.next(2), ['+ Service shop/cart 80', 'complete']);
  for (const [i, name] of ['..2026_2', '..2026_3'].entries()) {
    version(name, { 'a.yaml': cart(90 + i), 'sub/b.yaml': named('shop', 95 + i) });
    t.strictSame(
      await seen[0]?.next(2),
      [`+ Service shop/cart ${90 + i}`, `+ Service shop/shop ${95 + i}`],
      name,
    );
    t.strictSame(await seen[1]?.next(1), [`+ Service shop/cart ${90 + i}`], `${name}, one file`);
  }
});

t.test('a file that does not parse keeps its last good content until it does', async (t) => {
  const { seen, path } = await run(t, { 'a.yaml': cart(80) });
  await seen.next(2);
  const file = join(path, 'a.yaml');
  replace(file, 'kind: Service\nmetadata: [\n');
  await until(() => seen.problemList.length > 0);
  t.match(seen.problemList, [
    {
      subject: file,
      where: `${file}:3`,
      message: /^line 3: not valid YAML: .*; its last good content stays in force$/,
    },
  ]);
  replace(file, cart(80));
  await until(() => seen.problemList.length === 0);
  t.strictSame([seen.log, seen.problemList], [[], []]);
  replace(file, cart(81));
  t.strictSame(await seen.next(1), ['+ Service shop/cart 81']);
});

t.test('a file that cannot be read keeps its last good content', async (t) => {
  const { seen, path } = await run(t, { 'a.yaml': cart(80) });
  await seen.next(2);
  const file = join(path, 'a.yaml');
  symlinkSync('a.yaml', join(path, 'loop'));
  renameSync(join(path, 'loop'), file);
  await until(() => seen.problemList.length > 0);
  t.match(seen.problemList, [{ subject: file, message: /ELOOP.*; its last good content stays in force$/ }]);
  t.strictSame(seen.log, []);
  replace(file, cart(81));
  t.strictSame(await seen.next(1), ['+ Service shop/cart 81']);
  await until(() => seen.problemList.length === 0);
  t.strictSame(seen.problemList, []);
});

t.test('a file over 64 MiB is refused', async (t) => {
  const { seen, path } = await run(t, { 'a.yaml': cart(80) });
  const file = join(path, 'huge.json');
  write(file, '{');
  truncateSync(file, 64 * 1024 * 1024 + 1);
  await until(() => /65 MiB/.test(seen.problemList[0]?.message ?? ''));
  t.match(seen.problemList, [{ subject: file, message: /^is 65 MiB long, .*; nothing of it is used$/ }]);
});

t.test('links that lead back to their folder end', async (t) => {
  const folder = t.testdir({ 'a.yaml': cart(80) });
  symlinkSync('.', join(folder, 'self'));
  const source = new ManifestSource(folder, EVENTS_ONLY);
  t.teardown(() => source.stop());
  const seen = new Recorder();
  await source.start(seen);
  t.strictSame(seen.log, ['+ Service shop/cart 80', 'complete']);
});

t.test('a path that vanishes keeps its content, and works again when it is back', async (t) => {
  const { seen, path } = await run(t, { 'm/a.yaml': cart(80) }, { settle: 20, rescan: 30 }, 'm');
  await seen.next(2);
  renameSync(path, `${path}.away`);
  await until(() => seen.problemList.length > 0);
  t.match(seen.problemList, [
    { subject: path, message: /^no longer exists; .*; its last good content stays in force$/ },
  ]);
  t.strictSame(seen.log, []);
  write(join(path, 'b.yaml'), named('shop', 81));
  t.strictSame(await seen.next(2), ['- Service shop/cart', '+ Service shop/shop 81']);
  await until(() => seen.problemList.length === 0);
  t.strictSame(seen.problemList, []);
});

t.test('a single file of any name', async (t) => {
  const { seen, path } = await run(t, { services: cart(80) }, EVENTS_ONLY, 'services');
  t.strictSame(await seen.next(2), ['+ Service shop/cart 80', 'complete']);
  replace(path, cart(81));
  t.strictSame(await seen.next(1), ['+ Service shop/cart 81']);
});

t.test('changes without an event are found by looking again', async (t) => {
  const folder = t.testdir({ elsewhere: { 'a.yaml': cart(80) }, m: {} });
  symlinkSync('../elsewhere/a.yaml', join(folder, 'm/a.yaml'));
  const source = new ManifestSource(join(folder, 'm'), { settle: 20, rescan: 50 });
  t.teardown(() => source.stop());
  const seen = new Recorder();
  await source.start(seen);
  await seen.next(2);
  // Same length, same modification time: the change time tells.
  const file = join(folder, 'elsewhere/a.yaml');
  const { atime, mtime } = statSync(file);
  writeFileSync(file, cart(81));
  utimesSync(file, atime, mtime);
  t.strictSame(await seen.next(1), ['+ Service shop/cart 81']);
});

t.test('nothing is delivered after the stop', async (t) => {
  const { seen, path, source } = await run(t, { 'a.yaml': cart(80) }, { settle: 1, rescan: 5 });
  await seen.next(2);
  replace(join(path, 'a.yaml'), cart(81));
  await source.stop();
  seen.log.length = 0;
  replace(join(path, 'a.yaml'), cart(82));
  await wait(100);
  t.strictSame(seen.log, []);
});

/** Who has node port 30080 when two ask for it. */
function nodePortOwner(batches: readonly ObjectChange[]): string[] {
  const table = tableOf([]);
  table.apply(batches);
  table.commit();
  return [...table.servicePorts('IPv4').values()].filter((p) => p.nodePort === 30080).map((p) => p.service);
}

const ported = (name: string, n: number) =>
  JSON.stringify(
    serviceManifest(
      { type: 'NodePort', clusterIP: `10.96.0.${n}`, ports: [{ name: 'http', port: 80, nodePort: 30080 }] },
      { name },
    ),
  );

t.test(
  'without a creationTimestamp who was there first keeps a contested port, also after a restart',
  async (t) => {
    const folder = t.testdir({});
    const old = Date.now() / 1000 - 3600;
    write(join(folder, 'z.json'), ported('zebra', 1));
    utimesSync(join(folder, 'z.json'), old, old);
    const changes: ObjectChange[] = [];
    const listener = (): SourceListener => ({
      changes: (batch) => void changes.push(...batch),
      complete: () => {},
      problems: () => {},
    });
    const source = new ManifestSource(folder, EVENTS_ONLY);
    await source.start(listener());
    write(join(folder, 'a.json'), ported('ant', 2));
    await until(() => changes.length >= 2);
    t.same(nodePortOwner(changes), ['zebra']);
    write(join(folder, 'z.json'), ported('zebra', 3));
    await until(() => changes.length >= 3);
    t.same(nodePortOwner(changes), ['zebra'], 'a changed file keeps its age');
    await source.stop();

    utimesSync(join(folder, 'z.json'), old, old);
    changes.length = 0;
    const again = new ManifestSource(folder, EVENTS_ONLY);
    t.teardown(() => again.stop());
    await again.start(listener());
    t.same(nodePortOwner(changes), ['zebra']);
  },
);

t.test('names of files and what is in them cannot forge a line', async (t) => {
  const { seen } = await run(t, {
    'a\n2026 forged\u001b[2J\u202e.yaml': 'a: [',
    'b.yaml': 'kind: "\\u009b31m"\n',
  });
  t.equal(seen.problemList.length, 2);
  for (const { subject, message, where } of seen.problemList)
    t.notMatch(`${subject} ${message} ${where}`, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
});
