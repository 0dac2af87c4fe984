import { readFileSync } from 'node:fs';
import t from 'tap';
import { DEFAULT_CONFIGURATION } from '../../../src/config/file/KubeProxyConfiguration.js';
import { FLAGS } from '../../../src/config/flags/flags.js';
import { fromRoot } from '../../support/fromRoot.js';
import { errorLines, runFile } from './runCommand.js';

const page = readFileSync(fromRoot('docs/configuration.md'), 'utf8');

t.test('docs/configuration.md speaks of every field', (t) => {
  for (const [name, value] of Object.entries(DEFAULT_CONFIGURATION)) {
    t.match(page, `${name}`);
    const isBlock = typeof value === 'object' && !Array.isArray(value) && name !== 'logging';
    for (const inner of isBlock ? Object.keys(value) : []) t.match(page, `.${inner}`, `${name}.${inner}`);
  }
  t.end();
});

t.test('the examples of docs/configuration.md are valid', (t) => {
  const examples = page.match(/(^ {4}.+\n)+/gm)?.filter((text) => text.includes('apiVersion')) ?? [];
  t.equal(examples.length, 2);
  for (const example of examples) {
    const text = example.replaceAll(/^ {4}/gm, '');
    t.strictSame(
      errorLines(() => runFile(text, { header: '' })),
      [],
    );
  }
  t.end();
});

t.test('the flags that docs/configuration.md names exist', (t) => {
  const names = new Set(FLAGS.map((flag) => flag.name));
  for (const [, name = ''] of page.matchAll(/`--([a-z-]+[a-z])/g)) {
    t.ok(names.has(name) || [...names].some((known) => known.startsWith(`${name}-`)), name);
  }
  t.end();
});
