// Makes an installation in a folder: bundle.mjs FOLDER. What `npx tsc` and scripts/build-native made, with the packages it
// needs, in a few files: there is no node_modules, and Node starts in half the time (bench/README.md).
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const [given] = process.argv.slice(2);
if (given === undefined) throw new Error('bundle.mjs FOLDER');
const folder = resolve(given);
process.chdir(resolve(import.meta.dirname, '..'));

rmSync(join(folder, 'dist'), { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['dist/src/main.js'],
  outdir: join(folder, 'dist/src'),
  // The addon and package.json are looked for from a folder below dist/src.
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  // What a command does not need stays unread, as without a bundle.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Names stay, for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  metafile: true,
  logLevel: 'warning',
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
});

mkdirSync(join(folder, 'build/Release'), { recursive: true });
for (const path of ['bin', 'package.json', 'LICENSE', 'build/Release/penstock.node']) {
  cpSync(path, join(folder, path), { recursive: true });
}
copyLicenses(Object.keys(metafile.inputs));

/** The licences of the packages ask to be where their code is. */
function copyLicenses(inputs) {
  const packages = new Set(inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []));
  mkdirSync(join(folder, 'licenses'), { recursive: true });
  for (const path of packages) {
    const { name, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
    const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license'].find((each) => existsSync(join(path, each)));
    const text = file ? readFileSync(join(path, file), 'utf8') : `${license}\n`;
    writeFileSync(join(folder, 'licenses', name.replace('/', '-')), text);
  }
}
