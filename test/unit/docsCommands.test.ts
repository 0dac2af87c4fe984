/** Each command of other programs in the docs is run by somebody, or it is said why it is not: a new one must be put into a class. */
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { readDocs } from '../support/docs.js';
import { CLASSES, commandsIn } from '../support/docsCommands.js';
import { fromRoot } from '../support/fromRoot.js';

const commands = commandsIn(readDocs());

t.test('every command has one class', async (t) => {
  t.ok(commands.length >= 30, `${commands.length} commands`);
  for (const { path, line } of commands)
    t.equal(CLASSES.filter(({ lines }) => lines.test(line)).length, 1, `${path}: ${line}`);
});

t.test('every class has a command, and what runs it is there', async (t) => {
  for (const { lines, run } of CLASSES) {
    t.ok(
      commands.some(({ line }) => lines.test(line)),
      `${lines}`,
    );
    if ('cannot' in run) continue;
    const [file, words] = run;
    t.ok(
      existsSync(fromRoot(file)) && readFileSync(fromRoot(file), 'utf8').includes(words),
      `${file}: ${words}`,
    );
  }
});

t.test('what is found', async (t) => {
  const doc = { path: 'docs/x.md', text: '', inline: [] };
  const lines = (block: string) => commandsIn([{ ...doc, blocks: [block] }]).map(({ line }) => line);
  t.same(
    lines('sudo tcpdump -ni eth0     # look\nip daddr @x drop\npenstock status\n./scripts/new --now\n'),
    ['sudo tcpdump -ni eth0', './scripts/new --now'],
  );
});
