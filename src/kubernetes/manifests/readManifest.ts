/** One manifest file: from the disk to its objects. */
import { open } from 'node:fs/promises';
import { extname } from 'node:path';
import { messageOf } from '../../errors.js';
import { type FoundFile, isMissing, stampOf } from './findManifests.js';
import { type ManifestFault, type ManifestObject, parseManifest } from './parseManifest.js';

/** Not `steady`: the file was written to meanwhile, and what was read may be half of it. */
export type ManifestRead =
  | { readonly type: 'objects'; readonly objects: readonly ManifestObject[]; readonly steady: boolean }
  /** The text is no manifest. It will not be one until the file changes. */
  | { readonly type: 'malformed'; readonly fault: ManifestFault; readonly steady: boolean }
  /** The file cannot be read now; worth another try. */
  | { readonly type: 'unreadable'; readonly fault: ManifestFault; readonly steady: true }
  | { readonly type: 'gone' };

/** Bytes. 64 MiB hold some 40,000 Services with their endpoints. */
const LARGEST_FILE = 64 * 1024 * 1024;

export async function readManifest(file: FoundFile): Promise<ManifestRead> {
  if (file.size > LARGEST_FILE) {
    const size = Math.ceil(file.size / 1024 / 1024);
    const message = `is ${size} MiB long, files over 64 MiB are not read; split it`;
    return { type: 'malformed', fault: { line: undefined, message }, steady: true };
  }
  let text: string;
  let steady: boolean;
  try {
    const handle = await open(file.path);
    try {
      text = await handle.readFile('utf8');
      steady = stampOf(await handle.stat({ bigint: true })) === file.stamp;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isMissing(error)) return { type: 'gone' };
    const message = `cannot be read: ${messageOf(error)}`;
    return { type: 'unreadable', fault: { line: undefined, message }, steady: true };
  }
  const parsed = await parseManifest(text.replace(/^\uFEFF/, ''), extname(file.path));
  if ('fault' in parsed) return { type: 'malformed', fault: parsed.fault, steady };
  return { type: 'objects', objects: parsed.objects, steady };
}
