/** What scripts/release packs depends on what is in it alone: not on the time, the order of files, or who made them. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { fromRoot } from '../../support/fromRoot.js';

const ROOT = fileURLToPath(fromRoot(''));
const FILES = [
  'bin/penstock',
  'build/Release/penstock.node',
  'build/Release/penstock-watchdog',
  'dist/bundle/program',
  'licenses/pino',
  'LICENSE',
];

/** A folder as scripts/bundle.mjs makes it, with files of another order, time and mode each time. */
function program(t: Test, files: readonly string[], seconds: number, mode: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-test-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const path of files) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), path, { mode: path === 'bin/penstock' ? 0o755 : mode });
    utimesSync(join(folder, path), seconds, seconds);
  }
  writeFileSync(join(folder, 'package.json'), '{\n  "name": "penstock",\n  "version": "0.0.0"\n}\n');
  return folder;
}

function release(from: string, out: string, umask: string): Record<string, string> {
  const script = `umask ${umask}
    mkdir -p .cache "$2"
    node scripts/lib/release/manuals.mjs "$2/manuals"
    ./scripts/lib/release/npm-package "$1" "$2/manuals" "$2"
    ./scripts/lib/release/deb-package "$1" "$2/manuals" "$2"
    ./scripts/lib/release/chart-package "$2"
    rm -r "$2/manuals"`;
  const { status, stderr } = spawnSync('bash', ['--norc', '-euc', script, 'bash', from, out], {
    cwd: ROOT,
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      version: '7.8.9',
      arch: 'amd64',
      SOURCE_DATE_EPOCH: '1700000000',
      LC_ALL: 'C',
      TZ: 'UTC',
    },
  });
  if (status !== 0) throw new Error(stderr);
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex');
  return Object.fromEntries(
    readdirSync(out)
      .sort()
      .map((name) => [name, hash(name)]),
  );
}

const hasDpkg = spawnSync('sh', ['-c', 'command -v dpkg-deb']).status === 0;
t.test(
  'twice the same bytes, and the version is everywhere',
  { skip: hasDpkg ? false : 'dpkg-deb is not here' },
  async (t) => {
    const first = program(t, FILES, 1_000_000_000, 0o644);
    const second = program(t, [...FILES].reverse(), 1_600_000_000, 0o600);
    const once = release(first, join(first, 'out'), '022');
    t.same(Object.keys(once), ['penstock-7.8.9.tgz', 'penstock-chart-7.8.9.tgz', 'penstock_7.8.9_amd64.deb']);
    t.same(release(second, join(second, 'out'), '077'), once);
    const inside = (command: string) =>
      spawnSync('sh', ['-ec', command], { encoding: 'utf8', cwd: join(first, 'out') }).stdout;
    t.equal(JSON.parse(inside('tar -xzOf penstock-7.8.9.tgz package/package.json')).version, '7.8.9');
    t.match(inside('tar -xzOf penstock-chart-7.8.9.tgz penstock/Chart.yaml'), /^version: 7\.8\.9$/m);
    const deb = inside('dpkg-deb --fsys-tarfile penstock_7.8.9_amd64.deb | tar -tv');
    t.match(inside('dpkg-deb -f penstock_7.8.9_amd64.deb Version'), /^7\.8\.9$/m);
    for (const path of [
      'usr/lib/systemd/system/penstock.service',
      'usr/share/man/man8/penstock-run.8.gz',
      'usr/share/zsh/vendor-completions/_penstock',
    ])
      t.match(deb, path);
    t.notMatch(deb, /^.(?!rw[x-]r-[x-]r-[x-]|rwxrwxrwx)/m, 'everybody may read it, nobody else write');
    const json = inside(
      'dpkg-deb --fsys-tarfile penstock_7.8.9_amd64.deb | tar -xO ./usr/lib/penstock/package.json',
    );
    t.equal(JSON.parse(json).version, '7.8.9', 'and `penstock version` says so');
  },
);
