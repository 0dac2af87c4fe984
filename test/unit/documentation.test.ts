/**
 * README and docs are true: calls of penstock are legal, those that need no cluster are run, YAML is taken, files and anchors are there.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { COMMANDS } from '../../src/cli/commands.js';
import { checkConfig } from '../../src/cli/swap/config.js';
import { PENSTOCK } from '../support/AgentProcess.js';
import { penstockCalls, readDocs } from '../support/docs.js';
import { fromRoot } from '../support/fromRoot.js';

t.setTimeout(600_000);
const DOCS = readDocs();
const ROOT = fileURLToPath(fromRoot('.'));
const folder = mkdtempSync(join(tmpdir(), 'docs-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** What stands for what a reader puts in. */
const EXAMPLES = join(ROOT, 'examples/manifests');
const CONFIG = join(ROOT, 'examples/config.yaml');
const RULES = join(folder, 'rules.txt');
const PLACES: Readonly<Record<string, string>> = {
  PATH: EXAMPLES,
  FOLDER: EXAMPLES,
  FILE: CONFIG,
  'web.yaml': EXAMPLES,
  MODE: 'nftables',
  NODE: 'node1',
  ADDRESS: '192.0.2.10',
  COMMAND: 'run',
  CLIENT: '203.0.113.9',
  DESTINATION: '172.30.0.10:80',
  'VIP:PORT': '172.30.0.10:80',
  'SERVICE:PORT': 'shop/cart:80',
  'NAMESPACE/SERVICE': 'shop/cart',
  SERVICE: 'shop/cart',
};

function filled(words: readonly string[]): string[] {
  return words.map((word, i) => (words[i - 1] === '--iptables-save' ? RULES : (PLACES[word] ?? word)));
}

/** Those that look at the node, its agent, or the cluster; other tests call them there. */
const NEED_A_NODE = [
  'allocator',
  'cleanup',
  'connections',
  'diff',
  'doctor',
  'endpoints',
  'flows',
  'lb',
  'leave',
  'scaler',
  'selftest',
  'services',
  'status',
  'sysdump',
  'top',
  'web',
];

/** These need no node where flags say what to read. */
const NEED_FLAGS = ['compare', 'config', 'explain', 'migrate', 'render', 'run'];

/** With `--write-config-to` it writes; without manifests and `--dry-run` it serves. */
function runsHere([name = '', ...words]: readonly string[]): boolean {
  if (words.includes('--help')) return true;
  // The name alone.
  if (name === 'config') return words.length > 1;
  if (name === 'run') return words.includes('--dry-run') && words.includes('--config');
  if (name === 'explain' || name === 'render') return words.includes('--manifests');
  if (name === 'compare' || name === 'migrate') return words.includes('--iptables-save');
  return !NEED_A_NODE.includes(name);
}

const calls = penstockCalls(DOCS);

t.test('every call of penstock in the docs is one that penstock takes', async (t) => {
  t.ok(calls.length >= 50, `${calls.length} calls`);
  for (const { path, words } of calls) {
    const [name = '', ...rest] = filled(words);
    const said = `${path}: penstock ${words.join(' ')}`;
    if (name === 'help') {
      t.ok(
        rest.every((word) => Object.hasOwn(COMMANDS, word)),
        said,
      );
      continue;
    }
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    t.ok(command, said);
    // With --help its flags are read as always, and nothing is done.
    const stop = t.capture(process.stdout, 'write', () => true);
    const status = await command
      ?.load()
      .then((run) => run([...rest, '--help']))
      .catch((error: Error) => error.message);
    stop.restore();
    t.equal(status, 0, said);
  }
});

t.test('those that need no cluster are run as written', async (t) => {
  const rules = await penstock(
    'render',
    '--mode',
    'iptables',
    '--family',
    'IPv4',
    '--config',
    CONFIG,
    '--manifests',
    EXAMPLES,
  );
  writeFileSync(RULES, rules.stdout);
  const here = calls.filter(({ words }) => runsHere(words));
  t.ok(here.length >= 12, `${here.length} calls`);
  for (const { path, words } of here) {
    const { code, stdout, stderr } = await penstock(...filled(words));
    t.ok(
      code === 0 || (code === 1 && ['compare', 'migrate'].includes(words[0] ?? '')),
      `${path}: penstock ${words.join(' ')}: status ${code}, ${stderr}`,
    );
    t.not(stdout, '', words.join(' '));
  }
  for (const { words } of calls)
    t.ok(runsHere(words) || [...NEED_A_NODE, ...NEED_FLAGS].includes(words[0] ?? ''), words.join(' '));
});

t.test('every configuration in the docs is taken', (t) => {
  let count = 0;
  const check = (path: string, text: string) => {
    const whole = /^kind: KubeProxyConfiguration$/m.test(text) ? text : `${HEAD}${text}`;
    const file = join(folder, `config-${count++}.yaml`);
    writeFileSync(file, whole);
    t.match(
      checkConfig(file, (each) => readFileSync(each, 'utf8')),
      { ok: true, faults: [] },
      `${path}: ${text}`,
    );
  };
  for (const { path, blocks, inline } of DOCS) {
    for (const part of blocks.flatMap(configurationsIn)) check(path, part);
    for (const code of inline)
      if (
        /^(penstock|conntrack|iptables|nftables|ipvs|clientConnection|detectLocal|logging|featureGates): \{.*\}$/.test(
          code,
        ) &&
        !/[A-Z]{3}|…/.test(code)
      )
        check(path, code);
  }
  t.ok(count >= 8, `${count} configurations`);
  t.end();
});

/** Whole ones, and fields by themselves; between calls only lines that are a field. */
function configurationsIn(block: string): readonly string[] {
  if (/^penstock \w/m.test(block)) return block.match(/^penstock: \{.*$/gm) ?? [];
  const isOne = /^(kind: KubeProxyConfiguration|penstock: ?(\{.*)?|mode: \w+)$/m;
  return block.split('\n\n').filter((part) => isOne.test(part));
}

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

t.test('every Service in the docs is served', async (t) => {
  let count = 0;
  for (const { path, blocks } of DOCS)
    for (const part of blocks
      .flatMap((block) => block.split(/\n\n/))
      .filter((text) => /^kind: Service$/m.test(text))) {
      const file = join(folder, `service-${count++}.yaml`);
      // One that shows annotations leaves out the rest.
      writeFileSync(
        file,
        /^spec:/m.test(part) ? part : `${part}\nspec: {clusterIP: 172.30.0.99, ports: [{port: 80}]}\n`,
      );
      const { code, stderr } = await penstock('render', '--manifests', file);
      t.equal(code, 0, `${path}: ${stderr}`);
    }
  t.ok(count >= 2, `${count} Services`);
});

t.test('every file that the docs name is there', (t) => {
  let count = 0;
  for (const { path, blocks, inline, text } of DOCS) {
    const named = [...blocks, ...inline].flatMap((code) => [
      ...code.matchAll(
        /(?:^|[\s"'(=])(?:\.\/)?((?:deploy|docs|scripts|examples|bench|src|test|vagrant)\/[\w./-]*\w)/g,
      ),
    ]);
    for (const [, file = ''] of named) {
      // What the reader is told to write.
      if (file === 'deploy/base/kubeconfig.yaml') continue;
      t.ok(existsSync(fromRoot(file)), `${path}: ${file}`);
      count++;
    }
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const other = file === '' ? path : normalize(join(dirname(path), file));
      t.ok(existsSync(fromRoot(other)), `${path}: ${target}`);
      if (anchor !== undefined && other.endsWith('.md'))
        t.ok(anchorsOf(readFileSync(fromRoot(other), 'utf8')).includes(anchor), `${path}: ${target}`);
      count++;
    }
  }
  t.ok(count >= 100, `${count} names`);
  t.end();
});

/** As GitHub makes them. */
function anchorsOf(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

async function penstock(...words: string[]) {
  return promisify(execFile)(PENSTOCK, words, { maxBuffer: 1 << 26, cwd: ROOT }).then(
    (ended) => ({ ...ended, code: 0 }),
    (error: { stdout: string; stderr: string; code: number }) => error,
  );
}
