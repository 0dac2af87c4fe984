/** Files that another process names, which may be of another root: of a container, seen from its node. */
import { readlinkSync } from 'node:fs';
import { attempt } from '../../errors.js';

/** As the kernel (path_resolution(7)). */
const MOST_LINKS = 40;

/**
 * The path under which this process finds what another calls `path`; `process` is that one's folder in procfs (`/proc/12`). A link is
 * followed as it is there: `/var/run`, which mostly leads to `/run`, would lead into the root of this process. Throws nothing: what
 * cannot be followed, the kernel says when it is opened.
 */
export function filesOfProcess(process: string): (path: string) => string {
  return (path) => {
    const root = `${process}/root`;
    const folder = path.startsWith('/') ? '/' : attempt(() => readlinkSync(`${process}/cwd`));
    if (folder === undefined) return `${process}/cwd/${path}`;
    let rest = parts(`${folder}/${path}`);
    const found: string[] = [];
    let links = 0;
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      if (part === '..') found.pop();
      if (part === '..' || part === '.') continue;
      const to = attempt(() => readlinkSync([root, ...found, part].join('/')));
      if (to === undefined) {
        found.push(part);
        continue;
      }
      links += 1;
      if (links > MOST_LINKS) return `${root}${path}`;
      if (to.startsWith('/')) found.length = 0;
      rest = [...parts(to), ...rest];
    }
    return [root, ...found].join('/');
  };
}

function parts(path: string): string[] {
  return path.split('/').filter(Boolean);
}
