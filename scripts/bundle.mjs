// The program in one file instead of 600, with the packages it needs and with what V8 makes of it: Node starts in less than half
// the time (bench/README.md).
//   bundle.mjs          into dist/bundle, which bin/penstock takes as long as it is newer than what `npx tsc` made
//   bundle.mjs FOLDER   an installation there, with what scripts/build-native made and without node_modules
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

const SAMPLE_CONFIG = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: node
clusterCIDR: 10.244.0.0/16
`;
const SAMPLE_OBJECTS = `apiVersion: v1
kind: Service
metadata: {name: sample, namespace: default}
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ports: [{name: http, port: 80, nodePort: 30080, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: sample-1
  namespace: default
  labels: {kubernetes.io/service-name: sample}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
  - {addresses: [10.244.0.5], conditions: {ready: true}, nodeName: node}
  - {addresses: [10.244.1.5], conditions: {ready: true}, nodeName: other}
`;

/** Files of packages that penstock has no use for, which a package loads at each start all the same; and what stands in their place. */
const UNUSED = new Map([
  // With it comes Node's HTTP/2, which undici speaks where it is told to.
  [/\/undici\/lib\/dispatcher\/client-h2\.js$/, 'module.exports = () => { throw new Error("no HTTP/2 is bundled"); };'],
  // With them come node:https, node:cluster and a digest.
  [/\/prom-client\/lib\/(pushgateway|cluster|summary)\.js$/, 'module.exports = class {};'],
  // As OpenTelemetry answers where nothing traces the process.
  [/\/@opentelemetry\/api\/.*\/index\.c?js$/, 'exports.trace = { getSpan() {} }; exports.context = { active() {} };'],
  // Threads that write the log.
  [/\/pino\/lib\/transport\.js$/, 'module.exports = () => { throw new Error("no transports are bundled"); };'],
]);

const self = fileURLToPath(import.meta.url);
const { hashOfFlagsIn, openBundle, pack } = createRequire(import.meta.url)('../bin/openBundle.js');
const root = resolve(import.meta.dirname, '..');
const [first, ...rest] = process.argv.slice(2);
if (first === '--code-cache') await writeCodeCaches(...rest);
else await makeBundle(first === undefined ? undefined : resolve(first));

async function makeBundle(folder) {
  process.chdir(root);
  const { build } = await import('esbuild');
  const { metafile, outputFiles } = await build({
    entryPoints: ['dist/src/main.js'],
    outdir: 'dist/bundle',
    bundle: true,
    // A command reads what it needs.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    charset: 'ascii',
    // Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    // The licences are installed as files.
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'warning',
    plugins: [{ name: 'unused', setup: leaveOut }],
    define: { 'import.meta.url': 'importMetaUrl' },
  });
  const parts = new Map(outputFiles.map(({ path, text }) => [basename(path), { text: asFunction(basename(path), text) }]));
  refuseCircles(parts);
  const out = folder === undefined ? 'dist/bundle' : join(folder, 'dist/bundle');
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const work = resolve('dist/bundle.new');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const flags = addCodeCaches(parts, work);
  writeFileSync(join(out, 'program.new'), pack(parts, flags));
  renameSync(join(out, 'program.new'), join(out, 'program'));
  rmSync(work, { recursive: true });

  if (folder === undefined) return;
  mkdirSync(join(folder, 'build/Release'), { recursive: true });
  for (const path of ['bin', 'package.json', 'LICENSE', 'build/Release/penstock.node', 'build/Release/penstock-watchdog'])
    cpSync(path, join(folder, path), { recursive: true });
  copyLicenses(Object.keys(metafile.inputs), join(folder, 'licenses'));
}

function leaveOut({ onLoad, onEnd }) {
  const found = new Set();
  for (const [filter, contents] of UNUSED) {
    onLoad({ filter }, () => {
      found.add(filter);
      return { contents };
    });
  }
  onEnd(() => {
    const lost = [...UNUSED.keys()].filter((filter) => !found.has(filter));
    if (lost.length > 0) throw new Error(`no package has a file like ${lost.join(' or ')} any more: see UNUSED`);
  });
}

/**
 * A part as esbuild writes it, an ES module, → a function that bin/openBundle.js calls: V8's code cache is for scripts alone. Names
 * that parts have of each other become constants, which cost nothing to use; so nothing that a part exports may change later.
 */
function asFunction(name, text) {
  const withRequire = (statement, byDefault, all, some, from) => {
    if (from.startsWith('./') && (byDefault ?? all) !== undefined) throw new Error(`${name}: imports ${from} in one name`);
    const required = `require(${JSON.stringify(from)})`;
    const names = [byDefault ?? all, some?.replaceAll(' as ', ':')].filter((each) => each !== undefined);
    return names.length === 0 ? `${required};` : names.map((each) => `const ${each}=${required};`).join('');
  };
  const exported = /export\{([^}]*)\};\n?$/.exec(text);
  const body = text
    .slice(0, exported?.index)
    .replaceAll(/\bimport(?:(?: ([\w$]+)|\*as ([\w$]+))?,?(\{[^}]*\})? ?from)?"([^"\s]+)";/g, withRequire)
    .replaceAll(/\bimport\("([^"\s]+)"\)/g, 'Promise.resolve().then(()=>require("$1"))');
  // Any other import or export is a syntax error when the part is loaded, below; a call of import() only when it is reached.
  if (/\bimport\(/.test(body)) throw new Error(`${name}: imports what no constant names`);
  const exports = (exported?.[1] ?? '').split(',').filter((each) => each !== '').map((each) => {
    const [local, as = local] = each.split(' as ');
    return `exports.${as}=${local};`;
  });
  return `(function(exports,require,module,importMetaUrl){"use strict";${body}${exports.join('')}})`;
}

/** A constant of a part that is still being loaded has no value. */
function refuseCircles(parts) {
  const passed = new Set();
  const visit = (name, way) => {
    if (way.includes(name)) throw new Error(`parts need each other: ${[...way, name].join(' → ')}`);
    if (passed.has(name)) return;
    const { text } = parts.get(name);
    for (const [, other] of text.matchAll(/(?<!\(\)=>)require\("\.\/([^"]+)"\)/g)) visit(other, [...way, name]);
    passed.add(name);
  };
  for (const name of parts.keys()) visit(name, []);
}

/**
 * Puts beside each part what V8 makes of it, for this version of Node: with the functions that a dry run called. Twice gives the same bytes:
 * V8 is told to leave chance and time out. V8 compares flags by a hash in the head of the cache: returns those of the sets of flags
 * that bin/penstock gives, taken from caches that were made with them alone.
 */
function addCodeCaches(parts, work) {
  const program = readFileSync('bin/penstock', 'utf8');
  const sets = [...program.matchAll(/exec node (.*?)"\$0"/g)].map(([, flags]) => flags.trim());
  const sample = join(work, 'sample');
  mkdirSync(join(sample, 'manifests'), { recursive: true });
  writeFileSync(join(sample, 'config.yaml'), SAMPLE_CONFIG);
  writeFileSync(join(sample, 'manifests/objects.yaml'), SAMPLE_OBJECTS);
  const file = join(work, 'program');
  writeFileSync(file, pack(parts));
  const made = join(work, 'caches');
  const make = (flags, args) => {
    rmSync(made, { recursive: true, force: true });
    mkdirSync(made);
    const line = [...flags, self, '--code-cache', file, made, ...args];
    execFileSync(process.execPath, line, { stdio: ['ignore', 'ignore', 'inherit'] });
    return new Map(readdirSync(made).map((name) => [name, readFileSync(join(made, name))]));
  };
  const run = ['run', '--dry-run', '--config', join(sample, 'config.yaml'), '--manifests', join(sample, 'manifests')];
  for (const [name, cache] of make([...words(sets[0]), '--hash-seed=42', '--predictable'], run)) parts.get(name).cache = cache;
  const flags = Object.fromEntries(sets.map((set) => [set, hashOfFlagsIn(make(words(set), ['help']).get('main.js'))]));
  writeFileSync(file, pack(parts, flags));
  // Says 2 when V8 does not take it: then the program starts without.
  try {
    for (const set of sets) execFileSync(process.execPath, [...words(set), self, '--code-cache', file, ''], { stdio: 'ignore' });
  } catch {
    console.error(`bundle: Node.js ${process.version} does not take the code cache; it compiles at every start instead`);
    for (const part of parts.values()) part.cache = undefined;
  }
  return flags;
}

function words(text) {
  return text.split(' ').filter((word) => word !== '');
}

/** In a process of its own: runs the program, then writes what V8 has compiled; with `out` '' it asks only whether V8 took it. */
async function writeCodeCaches(file, out, ...argv) {
  // Time stands still: what gives others their turn after so many milliseconds would do so in one run and not in the next.
  Object.defineProperty(performance, 'now', { value: () => 0 });
  const scripts = new Map();
  const { load, names } = openBundle(file, (name, script) => scripts.set(name, script));
  const program = load('main.js');
  if (out === '') process.exit(scripts.get('main.js').cachedDataRejected === false ? 0 : 2);
  await program.main(argv);
  if (process.exitCode) throw new Error(`penstock ${argv.join(' ')}: exit ${process.exitCode}`);
  // What other commands need: all of it, as nobody knows which of it they will call, and an agent loads none.
  setFlagsFromString('--no-lazy');
  for (const name of names()) load(name);
  setFlagsFromString('--lazy');
  for (const [name, script] of scripts) writeFileSync(join(out, name), script.createCachedData());
  process.exit();
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
