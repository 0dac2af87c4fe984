/** penstock version */
import { readFileSync } from 'node:fs';
import { installationFolder } from '../kernel/addon/installationFolder.js';
import { readArguments } from './readArguments.js';

export const HELP = `penstock version [--json]

Prints the version; with --json, also what it runs on.
`;

export async function version(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: { json: { type: 'boolean' } } });
  if (values.help) process.stdout.write(HELP);
  else if (values.json) process.stdout.write(`${JSON.stringify(versionFacts())}\n`);
  else process.stdout.write(`penstock ${packageVersion()}\n`);
  return 0;
}

function versionFacts() {
  const { versions, platform, arch } = process;
  return { version: packageVersion(), node: versions.node, platform, arch };
}

/** Of package.json, the one place that says it. */
export function packageVersion(): string {
  const text = readFileSync(new URL('package.json', installationFolder(import.meta.url)), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
