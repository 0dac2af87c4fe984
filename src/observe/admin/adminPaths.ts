/** Where the admin socket is. Agents of several network namespaces may share a file system: only tests do that. */
const FOLDER = '/run/penstock';

/** The one that everybody knows first; when another agent has it, one of this network namespace. */
export function adminPaths(networkNamespace: string): readonly string[] {
  return [`${FOLDER}/agent.sock`, `${FOLDER}/agent-${networkNamespace}.sock`];
}

/** How the last agent of this network namespace was called. */
export function notePath(networkNamespace: string): string {
  return `${FOLDER}/agent-${networkNamespace}.json`;
}
