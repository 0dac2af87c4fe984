/** A /run/penstock that cannot be written, as on a full or read-only disk: one line says so, and nothing is half done. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { leaveNote, STATE_FOLDER } from '../../../src/kernel/host/stateFiles.js';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { plain } from '../../support/iptables.js';

if (await inNetns(import.meta.url)) {
  // The folder that is mounted there is no other test's.
  const folder = mkdtempSync(join(tmpdir(), 'penstock-read-only-'));
  t.teardown(() => rmdirSync(folder));

  for (const words of ['leave --withdraw', 'cleanup']) {
    t.test(`penstock ${words}`, (t) => {
      const script = `
        mkdir -p ${STATE_FOLDER}
        mount -t tmpfs none ${STATE_FOLDER}
        touch ${leaveNote()}
        mount -o remount,ro ${STATE_FOLDER}
        status=0
        ${PENSTOCK} ${words} >/dev/null || status=$?
        test -e ${leaveNote()} || exit 99
        exit $status`;
      const { status, stderr } = spawnSync(...plain('unshare', '--mount', 'sh', '-ec', script), {
        encoding: 'utf8',
        cwd: folder,
      });
      t.equal(status, words === 'cleanup' ? 1 : 2, stderr);
      t.match(stderr, /cannot be removed: .*EROFS.*\n→ .*\/run\/penstock.*writable/);
      t.notMatch(stderr, /\n +at /, 'no stack');
      t.end();
    });
  }
}
