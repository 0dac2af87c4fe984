/** The files that a connection is made of, as they are read again when they are rotated. */
import { delimiter, resolve } from 'node:path';
import type { Connection, Secret } from './Connection.js';

/** Paths. A credential plugin counts as every place where it may lie. */
export function filesOf({ ca, user }: Connection, env: NodeJS.ProcessEnv): readonly string[] {
  const secrets: readonly (Secret | undefined)[] = [
    ca,
    user.token,
    user.certificate?.cert,
    user.certificate?.key,
  ];
  const files = secrets.flatMap((secret) => (secret?.type === 'file' ? [secret.path] : []));
  const command = user.exec?.command;
  if (command === undefined) return files;
  const folders = command.includes('/') ? ['.'] : (env.PATH ?? '').split(delimiter);
  return [...files, ...folders.map((folder) => resolve(folder, command))];
}
