// The program in one file instead of 600, with the packages it needs and with what V8 makes of it: Node starts in less than half
// the time (bench/README.md).
//   bundle.mjs          into dist/bundle, which bin/penstock takes as long as it is newer than what `npx tsc` made
//   bundle.mjs FOLDER   an installation there, with what scripts/build-native made and without node_modules
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

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

const self = fileURLToPath(import.meta.url);
const { loadBundle, sealed } = createRequire(import.meta.url)('../bin/loadBundle.js');
const root = resolve(import.meta.dirname, '..');
const [first, ...rest] = process.argv.slice(2);
if (first === '--code-cache') await writeCodeCache(...rest);
else await makeBundle(first === undefined ? undefined : resolve(first));

async function makeBundle(folder) {
  process.chdir(root);
  const { build } = await import('esbuild');
  const out = folder === undefined ? 'dist/bundle' : join(folder, 'dist/bundle');
  rmSync(out, { recursive: true, force: true });
  // Below package.json, which the program reads.
  const work = resolve('dist/bundle.new');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const { metafile } = await build({
    entryPoints: ['dist/src/main.js'],
    outfile: join(work, 'main.cjs'),
    bundle: true,
    // All of it is read at the start: an agent stays whole while another version is installed over it.
    format: 'cjs',
    supported: { 'dynamic-import': false },
    platform: 'node',
    target: 'node20',
    charset: 'ascii',
    // Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    metafile: true,
    logLevel: 'warning',
    // A function, which bin/loadBundle.js calls.
    banner: {
      js: '(function(exports,require,module,__filename){const importMetaUrl=require("node:url").pathToFileURL(__filename).href;',
    },
    footer: { js: '})' },
    define: { 'import.meta.url': 'importMetaUrl' },
  });
  makeCodeCache(work);
  mkdirSync(out, { recursive: true });
  // The cache first: whoever finds the program finds what belongs to it.
  for (const name of ['main.cache', 'main.cjs']) {
    if (!existsSync(join(work, name))) continue;
    cpSync(join(work, name), join(out, `${name}.new`));
    renameSync(join(out, `${name}.new`), join(out, name));
  }
  rmSync(work, { recursive: true });

  if (folder === undefined) return;
  mkdirSync(join(folder, 'build/Release'), { recursive: true });
  for (const path of ['bin', 'package.json', 'LICENSE', 'build/Release/penstock.node', 'build/Release/penstock-watchdog'])
    cpSync(path, join(folder, path), { recursive: true });
  copyLicenses(Object.keys(metafile.inputs), join(folder, 'licenses'));
}

/**
 * work/main.cjs → work/main.cache, for this version of Node with the flags of bin/penstock: with the functions that a dry run
 * called. Twice gives the same bytes: V8 is told to leave chance and time out. V8 compares flags by a hash in the head of the
 * cache, so that one is taken from a cache that was made with the flags of bin/penstock alone.
 */
function makeCodeCache(work) {
  const flags = /^#!.* node (.*)$/m.exec(readFileSync('bin/penstock', 'utf8'))[1].split(' ');
  const sample = join(work, 'sample');
  mkdirSync(join(sample, 'manifests'), { recursive: true });
  writeFileSync(join(sample, 'config.yaml'), SAMPLE_CONFIG);
  writeFileSync(join(sample, 'manifests/objects.yaml'), SAMPLE_OBJECTS);
  const file = join(work, 'main.cache');
  const make = (more, args) => {
    const words = [...flags, ...more, self, '--code-cache', join(work, 'main.cjs'), file, ...args];
    execFileSync(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'] });
    const made = readFileSync(file);
    rmSync(file);
    return made;
  };
  const HASH_OF_FLAGS = [12, 16];
  const plain = make([], ['help']);
  const run = ['run', '--dry-run', '--config', join(sample, 'config.yaml'), '--manifests', join(sample, 'manifests')];
  const cache = make(['--hash-seed=42', '--predictable'], run);
  plain.copy(cache, HASH_OF_FLAGS[0], ...HASH_OF_FLAGS);
  writeFileSync(file, sealed(readFileSync(join(work, 'main.cjs')), cache));
  // Says 2 when V8 does not take it: then the program starts without.
  try {
    execFileSync(process.execPath, [...flags, self, '--code-cache', join(work, 'main.cjs'), ''], { stdio: 'ignore' });
  } catch {
    console.error(`bundle: Node.js ${process.version} does not take the code cache; it compiles at every start instead`);
    rmSync(file);
  }
}

/** In a process of its own: runs the program, then writes what V8 has compiled; with `out` '' it asks only whether V8 took it. */
async function writeCodeCache(file, out, ...argv) {
  // Time stands still: what gives others their turn after so many milliseconds would do so in one run and not in the next.
  Object.defineProperty(performance, 'now', { value: () => 0 });
  const { program, script } = loadBundle(file);
  if (out === '') process.exit(script.cachedDataRejected === false ? 0 : 2);
  await program.main(argv);
  if (process.exitCode) throw new Error(`penstock ${argv.join(' ')}: exit ${process.exitCode}`);
  writeFileSync(out, script.createCachedData());
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
