/** docs/dependencies.md says of each package of package.json why it is there. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { fromRoot } from '../support/fromRoot.js';

const page = readFileSync(fromRoot('docs/dependencies.md'), 'utf8');
const { dependencies, devDependencies } = JSON.parse(
  readFileSync(fromRoot('package.json'), 'utf8'),
) as Record<string, Record<string, string>>;

/** The packages in the first column of the table below a heading. */
function packagesBelow(heading: string): string[] {
  const [, section = ''] = page.split(`## ${heading}\n`);
  const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'));
  return rows
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))
    .sort();
}

t.test('each package has its line, and no line is left over', async (t) => {
  t.strictSame(packagesBelow('In the program'), Object.keys(dependencies ?? {}).sort());
  t.strictSame(packagesBelow('For building and testing'), Object.keys(devDependencies ?? {}).sort());
});
