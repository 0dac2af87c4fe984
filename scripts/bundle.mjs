// The program in a few files instead of 600, with the packages it needs: Node starts in half the time (bench/README.md).
//   bundle.mjs          into dist/bundle, which bin/penstock takes as long as it is newer than what `npx tsc` made
//   bundle.mjs FOLDER   an installation there, with what scripts/build-native made and without node_modules
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const [given] = process.argv.slice(2);
const folder = given === undefined ? undefined : resolve(given);
process.chdir(resolve(import.meta.dirname, '..'));

// Names of chunks carry what is in them, so that an agent that runs from dist/bundle finds its own after a build.
if (folder !== undefined) rmSync(join(folder, 'dist'), { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['dist/src/main.js'],
  outdir: folder === undefined ? 'dist/bundle' : join(folder, 'dist/src'),
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

if (folder !== undefined) {
  mkdirSync(join(folder, 'build/Release'), { recursive: true });
  for (const path of ['bin', 'package.json', 'LICENSE', 'build/Release/penstock.node']) {
    cpSync(path, join(folder, path), { recursive: true });
  }
  copyLicenses(Object.keys(metafile.inputs), join(folder, 'licenses'));
}

/** The licences of the packages ask to be where their code is. */
function copyLicenses(inputs, folder) {
  const packages = new Set(inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []));
  mkdirSync(folder, { recursive: true });
  for (const path of packages) {
    const { name, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
    const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license'].find((each) => existsSync(join(path, each)));
    const text = file ? readFileSync(join(path, file), 'utf8') : `${license}\n`;
    writeFileSync(join(folder, name.replace('/', '-')), text);
  }
}
