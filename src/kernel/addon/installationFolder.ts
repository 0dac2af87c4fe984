/** Where penstock is installed: the nearest folder above a file of its own that holds package.json. A URL that ends in `/`. */
import { existsSync } from 'node:fs';

/** The depth differs between dist/src/ and the few files of a bundle. The root folder when there is none. */
export function installationFolder(fileUrl: string): URL {
  let folder = new URL('.', fileUrl);
  while (!existsSync(new URL('package.json', folder)) && folder.pathname !== '/')
    folder = new URL('..', folder);
  return folder;
}
