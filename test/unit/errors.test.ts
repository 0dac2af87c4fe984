/** The codes of errors: each is made somewhere, and docs/errors.md explains each, once. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ERROR_CODES } from '../../src/errors.js';
import { fromRoot } from '../support/fromRoot.js';

const SRC = fileURLToPath(fromRoot('src'));
const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && path !== 'errors.ts')
  .map((path) => readFileSync(join(SRC, path), 'utf8'))
  .join('\n');

t.test(
  'docs/errors.md has a row of code, meaning and remedy for each code, once, and no other',
  async (t) => {
    const rows = readFileSync(fromRoot('docs/errors.md'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.split('|').map((cell) => cell.trim()));
    for (const cells of rows) {
      t.equal(cells.length, 5, `${cells[1]}: three cells`);
      t.ok(cells[2] && cells[3], `${cells[1]}: meaning and remedy`);
    }
    t.strictSame(
      rows.map(([, code = '']) => code.replaceAll('`', '')).sort(),
      [...ERROR_CODES],
      'the codes of src/errors.ts, in the order of the alphabet',
    );
  },
);

t.test('each code is made somewhere', async (t) => {
  // As an argument of a constructor; a comparison does not count.
  const made = new Set([...sources.matchAll(/\(\s*'(PENSTOCK_[A-Z_]+)',/g)].map(([, code]) => code));
  t.strictSame(
    ERROR_CODES.filter((code) => !made.has(code)),
    [],
  );
});
