/** `penstock version`: of package.json, for people and for programs. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { fromRoot } from '../../support/fromRoot.js';
import { plain } from '../../support/iptables.js';

const { version } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8')) as { version: string };
const penstock = (...args: string[]) =>
  spawnSync(...plain(process.execPath, fileURLToPath(fromRoot('bin/penstock')), ...args), {
    encoding: 'utf8',
  });

t.test('as a line, and as JSON', async (t) => {
  t.equal(penstock('version').stdout, `penstock ${version}\n`);
  t.equal(penstock('--version').stdout, `penstock ${version}\n`);
  const { arch, platform, versions } = process;
  t.strictSame(JSON.parse(penstock('version', '--json').stdout), {
    version,
    node: versions.node,
    platform,
    arch,
  });
});

t.test('a wrong call names the flag', async (t) => {
  const { status, stderr } = penstock('version', '--jsno');
  t.equal(status, 2);
  t.match(stderr, /Did you mean --json/);
});
