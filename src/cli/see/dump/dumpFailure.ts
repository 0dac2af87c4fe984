/** What somebody who helps needs to see of a selftest that failed, taken while the agent runs. */
import { messageOf } from '../../../errors.js';
import { writeSysdump } from './sysdump.js';

/** Never rejects: resolves to a sentence for the report. */
export async function dumpFailure(file: string): Promise<string> {
  try {
    const { path, missing } = await writeSysdump(file);
    const without = missing.length === 0 ? '' : `, without ${missing.length} things that could not be read`;
    return `sysdump of the failure: ${path}${without}`;
  } catch (error) {
    return `no sysdump was written: ${messageOf(error)}`;
  }
}
