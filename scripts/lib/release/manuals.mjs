// Manual pages and completions, from the help texts of the compiled program: manuals.mjs OUT. Needs $version, $SOURCE_DATE_EPOCH.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [out] = process.argv.slice(2);
const { version, SOURCE_DATE_EPOCH: epoch } = process.env;
const load = (name) => import(pathToFileURL(resolve(`dist/src/cli/${name}.js`)).href);
const { COMMANDS } = await load('commands');
const { commandHelps } = await load('manual/commandHelps');
const { manPages } = await load('manual/manPage');
const shells = {
  bash: (await load('manual/bashCompletion')).bashCompletion,
  zsh: (await load('manual/zshCompletion')).zshCompletion,
  fish: (await load('manual/fishCompletion')).fishCompletion,
};

const commands = await commandHelps(COMMANDS);
const date = new Date(Number(epoch) * 1000).toISOString().slice(0, 10);
for (const folder of ['man', 'completions']) mkdirSync(join(out, folder), { recursive: true });
for (const [name, text] of manPages(commands, { version, date })) writeFileSync(join(out, 'man', name), text);
for (const [shell, make] of Object.entries(shells)) {
  writeFileSync(join(out, 'completions', `penstock.${shell}`), make(commands));
}
