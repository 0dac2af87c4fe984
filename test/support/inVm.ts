/**
 * Runs a test file in a virtual machine of its own, whose kernel has IPVS (scripts/vm):
 *
 *     if (await inVm(import.meta.url)) {
 *       t.test('…', …);
 *     }
 *
 * The file starts itself again there; the tests run in that child and are reported here as subtests. When it runs under
 * scripts/vm already, that machine does.
 */
import { fileURLToPath } from 'node:url';
import t from 'tap';

/** A machine boots in seconds; what runs in it is slow where processes are started. */
const SECONDS = 800;

const SCRIPT = fileURLToPath(new URL('../../../scripts/vm', import.meta.url));

/** True in the machine. Elsewhere false, once the child has ended. */
export async function inVm(testFileUrl: string): Promise<boolean> {
  if (process.env.PENSTOCK_VM === '1') return true;
  const file = fileURLToPath(testFileUrl);
  // The machine's own time limit tells more than tap's.
  const timeout = (SECONDS + 5) * 1000;
  t.setTimeout(timeout);
  // Without HOME, as some that run tests have none.
  const { HOME: _, ...env } = process.env;
  await t.spawn(SCRIPT, ['--timeout', `${SECONDS}`, process.execPath, ...process.execArgv, file], {
    timeout,
    env,
  });
  return false;
}
