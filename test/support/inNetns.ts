/**
 * Runs a test file in a network namespace of its own:
 *
 *     if (await inNetns(import.meta.url)) {
 *       t.test('…', …);
 *     }
 *
 * The file starts itself again under `unshare`; the tests run in that child and are reported here as subtests.
 * Without root, the child gets a user namespace too, in which it is root; that does for all but limits of the host
 * (net.core.*) and files that root owns.
 */
import { fileURLToPath } from 'node:url';
import t from 'tap';

const MARK = 'PENSTOCK_TEST_NETNS';

/** True in the child. In the parent false, once the child has ended. */
export async function inNetns(testFileUrl: string): Promise<boolean> {
  const file = fileURLToPath(testFileUrl);
  if (process.env[MARK] === file) return true;
  const namespaces = process.getuid?.() === 0 ? ['--net'] : ['--net', '--map-root-user'];
  await t.spawn('unshare', [...namespaces, process.execPath, ...process.execArgv, file], {
    env: { ...process.env, [MARK]: file },
  });
  return false;
}
