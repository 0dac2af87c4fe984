/** Every command, called as nobody should: exit status 2, what is wrong in one line or a list, no stack. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
    // main() ends a process that is still there 3 s after its command, as this one may be.
    const after = globalThis.setTimeout;
    globalThis.setTimeout = (work, ms, ...rest) => after(work, ms === 3000 ? 600_000 : ms, ...rest);
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

/** Nine lines of YAML for hundreds of millions of values. */
const BOMB = 'abcdefghi'
  .split('')
  .map((name, i, names) => {
    const value = i === 0 ? '"x"' : `*${names[i - 1]}`;
    return `${name}: &${name} [${Array(9).fill(value).join(', ')}]\n`;
  })
  .join('');
const DEPTH = 100_000;
const SERVICE =
  'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n';

t.test('files of which nothing can be used', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bad-input-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const files = {
    'bomb.yaml': BOMB,
    'deep.json': '['.repeat(DEPTH) + ']'.repeat(DEPTH),
    'deep.yaml': '['.repeat(DEPTH) + ']'.repeat(DEPTH),
    'other.json': `{"kind": "Gateway", "spec": ${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}}`,
    'half.json': '{"apiVersion": "v1", "kind": "Ser',
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  execFileSync('mkfifo', [join(folder, 'fifo.yaml')]);
  const paths = [...Object.keys(files), 'fifo.yaml', ''].map((name) => join(folder, name));
  const calls = [...paths, '/dev/zero'].flatMap((path) => [
    ['render', `--manifests=${path}`],
    ['services', `--manifests=${path}`],
    ['explain', 'outside', '10.0.0.1:80', `--manifests=${path}`],
  ]);
  calls.push(
    ['render', `--config=${join(folder, 'bomb.yaml')}`],
    ['run', `--config=${join(folder, 'deep.yaml')}`],
  );
  for (const each of called(calls)) {
    isRefused(t, each);
    t.ok(each.stderr.length < 600, `${each.words}: ${each.stderr.length} characters`);
    t.ok(each.stderr.split('\n').length <= 4, `${each.words}: in one line`);
  }
});

t.test('one file of several that can be used: the rest is said, a line for each', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bad-input-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'good.yaml'), SERVICE);
  writeFileSync(join(folder, 'deep.json'), '['.repeat(DEPTH));
  mkdirSync(join(folder, 'bombs'));
  for (let i = 0; i < 30; i++) writeFileSync(join(folder, 'bombs', `${i}.yaml`), BOMB);
  const source = `--manifests=${folder}`;
  const [explain, render] = called([
    ['explain', 'outside', '10.0.0.1:80', source],
    ['render', '--mode=iptables', source],
  ]);
  t.match(explain?.stdout, /default\/a/);
  const lines = explain?.stderr.trimEnd().split('\n') ?? [];
  t.equal(lines.length, 21);
  t.match(lines[0], /^penstock: \S+0\.yaml: line 1: not readable as YAML: [^\n]+; nothing of it is used$/);
  t.equal(lines[20], 'penstock: and 11 files more');
  t.match(render, {
    status: 1,
    stdout: /-d 10\.0\.0\.1/,
    stderr: /deep\.json: line 1: not readable as JSON: nested deeper than/,
  });
});

t.test('a disk that is full: one line, and no good exit status', async (t) => {
  for (const words of [['help'], ['completion', 'bash'], ['render', '--help']]) {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(fileURLToPath(fromRoot('bin/penstock')), words, {
      encoding: 'utf8',
      stdio: ['ignore', full, 'pipe'],
    });
    closeSync(full);
    t.equal(status, 2, words.join(' '));
    t.match(stderr, /^penstock: standard output cannot be written: ENOSPC[^\n]+\n$/);
  }
});

t.test('an output that is closed: one line, and no good exit status', async (t) => {
  const program = fileURLToPath(fromRoot('bin/penstock'));
  for (const words of ['help', 'version', 'render --help']) {
    const { status, stderr } = spawnSync('sh', ['-c', `"$0" ${words} >&-`, program], { encoding: 'utf8' });
    t.equal(status, 2, words);
    t.equal(stderr, 'penstock: standard output is closed\n');
  }
  const { status, stdout } = spawnSync('sh', ['-c', '"$0" version <&- 2>&-', program], { encoding: 'utf8' });
  t.match({ status, stdout }, { status: 0, stdout: /^penstock \d/ }, 'the others may be closed');
});

t.test('names that are no UTF-8: said, not taken for files that are not there', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bad-input-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const name = Buffer.concat([Buffer.from(`${folder}/z`), Buffer.from([0xff]), Buffer.from('.yaml')]);
  writeFileSync(name, SERVICE);
  writeFileSync(join(folder, 'good.yaml'), SERVICE);
  const program = fileURLToPath(fromRoot('bin/penstock'));
  const shell = (words: string) =>
    spawnSync('sh', ['-c', `cd "$1" && "$0" ${words} "$(printf 'z\\377.yaml')"`, program, folder], {
      encoding: 'utf8',
    });
  for (const words of ['services --manifests', 'render --config', 'config check', 'status --kubeconfig']) {
    const { status, stdout, stderr } = shell(words);
    isRefused(t, { words: [words], status: status ?? -1, stdout, stderr });
    t.match(stderr, /^penstock: "z\ufffd\.yaml" is no UTF-8, /);
  }
  const [render] = called([['render', '--mode=iptables', `--manifests=${folder}`]]);
  t.match(
    render?.stderr,
    /z\ufffd\.yaml: has a name that is no UTF-8, so it cannot be read; nothing of it is used\n/,
  );
  t.match(render?.stdout, /-d 10\.0\.0\.1/, 'the others are read');
});
