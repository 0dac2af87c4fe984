/** Manual pages and completions say what --help says, and what the commands take. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { COMMANDS } from '../../../../src/cli/commands.js';
import { bashCompletion } from '../../../../src/cli/manual/bashCompletion.js';
import { commandHelps } from '../../../../src/cli/manual/commandHelps.js';
import { fishCompletion } from '../../../../src/cli/manual/fishCompletion.js';
import { manPages } from '../../../../src/cli/manual/manPage.js';
import { flagsOf, readHelp } from '../../../../src/cli/manual/readHelp.js';
import { zshCompletion } from '../../../../src/cli/manual/zshCompletion.js';

const commands = await commandHelps(COMMANDS);
const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

function temporary(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-test-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

t.test('every flag that a help names is one that the command takes, with a value or without', async (t) => {
  let count = 0;
  for (const { name, flags } of commands) {
    if (name === 'run') continue; // Its help is made of its table of flags.
    const run = await COMMANDS[name]?.load();
    for (const { flag, short, value } of flags) {
      count++;
      const given = value === 'nothing' ? [flag] : [flag, 'x'];
      const taken = t.capture(process.stdout, 'write', () => true);
      await t.resolves(Promise.resolve(run?.(['--help', ...given])), `${name} ${given.join(' ')}`);
      if (short !== undefined && value !== 'nothing')
        await t.resolves(Promise.resolve(run?.(['--help', short, 'x'])), `${name} ${short}`);
      taken.restore();
    }
  }
  t.ok(count > 100, `${count} flags were tried`);
});

t.test('a help, read', async (t) => {
  const help = readHelp(
    'penstock eat FOOD [--hot] [-o json]\n\nEats.\n  --with TOOL|MODE  a tool\n    or none\n  -q, --quick  fast\nAfter.\n\nExit status: 0 eaten.\n\n  penstock eat soup\n',
  );
  t.same(
    help.parts.map(({ type }) => type),
    ['text', 'flags', 'text', 'status', 'examples'],
  );
  t.same(flagsOf(help), [
    { flag: '--help', short: '-h', value: 'nothing', text: 'Print the help and exit' },
    { flag: '--with', short: undefined, value: 'word', text: 'a tool or none' },
    { flag: '--quick', short: '-q', value: 'nothing', text: 'fast' },
    { flag: '--hot', short: undefined, value: 'nothing', text: '' },
    { flag: '-o', short: undefined, value: ['json'], text: '' },
  ]);
});

t.test('bash completes', { skip: has('bash') ? false : 'bash is not here' }, async (t) => {
  const file = join(temporary(t), 'penstock.bash');
  writeFileSync(file, bashCompletion(commands));
  const complete = (...words: readonly string[]) => {
    const script = `. ${file}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _penstock; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-euc', script, 'bash', 'penstock', ...words], {
      encoding: 'utf8',
      cwd: join(file, '..'),
    });
    t.equal(stderr, '');
    return stdout.split('\n').filter((word) => word !== '');
  };
  t.same(complete('co'), ['connections', 'compare', 'config', 'completion']);
  t.same(complete('help', 'ex'), ['explain']);
  t.same(complete('config', ''), ['check', '--help', '-h', '-o'], 'words and flags');
  t.same(complete('cleanup', '--k'), ['--keep']);
  t.same(complete('cleanup', '--mode', 'ip'), ['iptables', 'ipvs']);
  t.same(complete('run', '--iptables-backend', ''), ['auto', 'nft', 'legacy']);
  t.same(complete('run', '--config', 'pen'), ['penstock.bash'], 'files');
  t.same(complete('config', 'check', 'pen'), ['penstock.bash']);
  t.same(complete('explain', '--node', ''), [], 'a word that nobody knows');
  t.same(complete('nonsense', '-'), []);
});

t.test('zsh and fish read their scripts', async (t) => {
  const folder = temporary(t);
  const scripts = { zsh: zshCompletion(commands), fish: fishCompletion(commands) };
  for (const [shell, text] of Object.entries(scripts)) {
    for (const { name } of commands) t.ok(text.includes(name), `${shell}: ${name}`);
    if (!has(shell)) continue;
    const file = join(folder, `penstock.${shell}`);
    writeFileSync(file, text);
    const { status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    t.same([status, stderr], [0, ''], `${shell} finds nothing wrong`);
  }
  if (!has('fish')) return;
  const asked = spawnSync(
    'fish',
    ['-c', `source ${folder}/penstock.fish; complete -C 'penstock run --iptables-backend '`],
    { encoding: 'utf8', env: { ...process.env, HOME: folder } },
  );
  t.same(
    asked.stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t')[0])
      .sort(),
    ['auto', 'legacy', 'nft'],
    'fish completes',
  );
});

t.test('manual pages', async (t) => {
  const folder = temporary(t);
  const pages = manPages(commands, { version: '1.2.3', date: '2026-01-02' });
  t.equal(pages.size, commands.length + 1);
  const canRead = has('man') && has('groff');
  for (const [name, text] of pages) {
    t.match(text, /^\.TH PENSTOCK\S* 8 2026-01-02 "penstock 1\.2\.3"/, name);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    t.notMatch(text, /[^\x00-\x7f]/, 'ASCII alone');
    if (!canRead) continue;
    const file = join(folder, name);
    writeFileSync(file, text);
    const { stdout, stderr } = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', file], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', MANWIDTH: '100' },
    });
    t.equal(stderr, '', `${name}: groff finds nothing wrong`);
    const command = commands.find((each) => `penstock-${each.name}.8` === name);
    const shown = stdout.replaceAll(/\s+/g, ' ');
    for (const { flag } of command?.flags ?? []) {
      if (flag !== '--help') t.ok(shown.includes(flag), `${name} says ${flag}`);
    }
  }
});
