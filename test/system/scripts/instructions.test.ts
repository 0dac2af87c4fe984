/** The pure code takes no more instructions than are recorded: scripts/count-instructions says what is counted, and how. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { fromRoot } from '../../support/fromRoot.js';
import { plain } from '../../support/iptables.js';

/** Nothing is recorded for this Node.js and compiler, or valgrind is not there. */
const UNKNOWN = 3;

t.test('instructions of fixed work', { timeout: 300_000 }, async (t) => {
  const program = fileURLToPath(fromRoot('scripts/count-instructions'));
  const { status, stdout, stderr } = spawnSync(...plain(program), { encoding: 'utf8' });
  if (status === UNKNOWN) {
    t.comment(`${stdout}${stderr}`);
    t.pass('there is nothing to compare with');
  } else {
    t.equal(status, 0, `${stdout}${stderr}`);
    t.match(stdout, /objects read +\d+ .* (ok|fewer)/);
  }
});
