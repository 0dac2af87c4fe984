/** Every command, called as nobody should: exit status 2, what is wrong in one line or a list, no stack. */
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { COMMANDS } from '../../../src/cli/commands.js';
import { fromRoot } from '../../support/fromRoot.js';
import { plain } from '../../support/iptables.js';

interface Said {
  readonly words: readonly string[];
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** All in one process, as a process for each takes half a minute. None of these calls gets as far as to open anything. */
function called(calls: readonly (readonly string[])[]): readonly Said[] {
  const script = `
    const { main } = await import(${JSON.stringify(fromRoot('dist/src/main.js').href)});
    process.stdout.setMaxListeners(0);
    const print = process.stdout.write.bind(process.stdout);
    const said = [];
    for (const words of ${JSON.stringify(calls)}) {
      let stderr = '';
      process.stderr.write = (text) => { stderr += text; return true; };
      let stdout = '';
      process.stdout.write = (text) => { stdout += text; return true; };
      process.exitCode = 0;
      await main(words);
      said.push({ words, status: process.exitCode, stdout, stderr });
    }
    process.exitCode = 0;
    print(JSON.stringify(said), () => process.exit());
  `;
  const words = ['--input-type=module', '--eval', script];
  const { stdout, stderr } = spawnSync(...plain(process.execPath, ...words), { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as readonly Said[];
}

function isRefused(t: Test, { words, status, stdout, stderr }: Said): void {
  const call = JSON.stringify(words);
  t.equal(status, 2, call);
  t.equal(stdout, '', `${call}: nothing else is said`);
  t.notMatch(stderr, /\n\s+at |TypeError|RangeError/, `${call}: no stack`);
  // The fault, in one line or with a list below, and what to do.
  t.match(stderr, /^penstock[^\n]+\n( {2}[^\n]+\n)*(→ [^\n]+\n)?$/, call);
}

t.test('flags and words that no command takes', async (t) => {
  const bad = [
    ['--no-such-flag'],
    ['-z'],
    ['--__proto__'],
    ['a', 'b', 'c', 'd', 'e'],
    ['--x\ny'],
    ['\u001b[31m\r'],
  ];
  for (const each of called(Object.keys(COMMANDS).flatMap((name) => bad.map((words) => [name, ...words]))))
    isRefused(t, each);
});

t.test('files that are not there, modes that are none', async (t) => {
  const readers = ['render', 'services', 'endpoints', 'connections', 'diff'];
  const calls = [
    ...readers.map((name) => [name, '--manifests=/no/such/folder']),
    ...[...readers, 'run'].flatMap((name) => [
      [name, '--config=/no/such/file'],
      [name, '--config=/dev/null'],
    ]),
    ...['allocator', 'scaler', 'services', 'lb'].map((name) => [name, '--kubeconfig=/no/such/file']),
    ...['render', 'cleanup', 'diff', 'services', 'compare'].map((name) => [name, '--mode=\u001b[1mebpf']),
    ['render'],
    ['config', '--config=/no/such/file'],
    ['sysdump', '-o', 'xml'],
    ['leave', '--timeout=soon'],
    ['scaler', '--listen=here'],
    ['web', '--listen=0.0.0.0:80'],
  ];
  for (const each of called(calls)) isRefused(t, each);
});
