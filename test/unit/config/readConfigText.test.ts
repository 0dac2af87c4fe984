/** A configuration is read whole, out of a file or a pipe; what has no end is read no further than a configuration can go. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { LONGEST } from '../../../src/config/file/ConfigDocument.js';
import { readConfigText } from '../../../src/config/readConfigText.js';
import { fromRoot } from '../../support/fromRoot.js';

t.test('a file is read whole', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'config-text-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const text of ['', 'mode: nftables\n', 'ü'.repeat(LONGEST), '𝄞'.repeat(LONGEST / 2)]) {
    writeFileSync(join(folder, 'config.yaml'), text);
    t.ok(readConfigText(join(folder, 'config.yaml')) === text);
  }
  t.throws(() => readConfigText(folder), { code: 'EISDIR' });
  t.throws(() => readConfigText(join(folder, 'nothing')), { code: 'ENOENT' });
});

t.test('what has no end is no configuration', async (t) => {
  t.throws(() => readConfigText('/dev/zero'), { message: /is a device/ });
  t.equal(readConfigText('/dev/null'), '');
  for (const words of [
    ['config', 'check', '/dev/zero'],
    ['explain', '--config', '/dev/zero', '10.0.0.1', '10.96.0.1:80/TCP'],
    ['render', '--config', '/dev/zero', '--manifests', fileURLToPath(fromRoot('examples'))],
  ]) {
    const ended = spawnSync(fileURLToPath(fromRoot('bin/penstock')), words, {
      encoding: 'utf8',
      timeout: 20_000,
    });
    t.match(ended.stderr, /it is a device, not a file/, words.join(' '));
    t.equal(ended.status, 2, words.join(' '));
  }
});
