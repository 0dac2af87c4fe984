/**
 * An ingress controller, as an example of what all of them are: Ingress objects in, a proxy's file out. It is no product.
 *
 *     node dist/examples/path/controller.js --manifests FOLDER --class NAME --nginx FOLDER --haproxy FOLDER --sidecar FOLDER
 *       [--proxy-from NETWORK…] [--app PORT] [--keep-alive SECONDS] [--reload COMMAND] [--once]
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { messageOf } from '../../src/errors.js';
import { FolderWatches } from '../../src/kubernetes/manifests/FolderWatches.js';
import { findManifests, GONE } from '../../src/kubernetes/manifests/findManifests.js';
import { readManifest } from '../../src/kubernetes/manifests/readManifest.js';
import { printableLines } from '../../src/net/printable.js';
import { isRawObject } from '../../src/objects/read/FieldReader.js';
import { parseObject } from '../../src/objects/read/parseObject.js';
import type { Service } from '../../src/objects/Service.js';
import type { Secret } from './certificate.js';
import { type Ingress, readIngress } from './readIngress.js';
import { buildRoutes, type RouteTable } from './routes.js';
import { haproxyFiles, nginxFiles, type ProxyFiles } from './writeProxies.js';

const run = promisify(execFile);
const { values: flags } = parseArgs({
  options: {
    manifests: { type: 'string' },
    class: { type: 'string', default: 'penstock-path' },
    nginx: { type: 'string' },
    haproxy: { type: 'string' },
    sidecar: { type: 'string' },
    'proxy-from': { type: 'string', multiple: true, default: [] },
    app: { type: 'string', default: '8080' },
    'keep-alive': { type: 'string', default: '10' },
    reload: { type: 'string' },
    once: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stderr.write(printableLines(`ingress: ${line}\n`));
/** What each file held when it could last be read. */
const lastGood = new Map<string, readonly unknown[]>();
let told = '';

async function readTable(folder: string, watches: FolderWatches): Promise<RouteTable> {
  const found = await findManifests(folder);
  if (found === GONE) throw new Error(`${folder} is not there`);
  watches.follow(found.folders);
  const raws: unknown[] = [];
  const notes: string[] = [];
  for (const file of found.files) {
    const read = await readManifest(file);
    if (read.type === 'objects')
      lastGood.set(
        file.path,
        read.objects.map(({ raw }) => raw),
      );
    else if (read.type === 'gone') lastGood.delete(file.path);
    else notes.push(`${file.path} ${read.fault.message}; what it held before stays`);
    for (const raw of lastGood.get(file.path) ?? []) raws.push(raw);
  }
  const ingresses: Ingress[] = [];
  const services = new Map<string, Service>();
  const secrets = new Map<string, Secret>();
  for (const raw of raws) {
    const reading = readIngress(raw, flags.class);
    if (reading !== 'not ours' && 'ingress' in reading) ingresses.push(reading.ingress);
    else if (reading !== 'not ours') notes.push(`${reading.subject} is left out: ${reading.refused}`);
    const parsed = parseObject(raw);
    if (parsed.type === 'object' && parsed.object.kind === 'Service')
      services.set(`${parsed.object.namespace}/${parsed.object.name}`, parsed.object);
    readSecret(raw, secrets);
  }
  const table = buildRoutes({ ingresses, services, secrets });
  notes.push(...table.problems.map(({ subject, message }) => `${subject}: ${message}`));
  const text = notes.slice(0, 100).join('\n');
  if (text !== told) for (const note of notes.slice(0, 100)) say(note);
  told = text;
  return table;
}

function readSecret(raw: unknown, into: Map<string, Secret>): void {
  if (!isRawObject(raw) || raw.kind !== 'Secret' || !isRawObject(raw.metadata) || !isRawObject(raw.data))
    return;
  const decode = (value: unknown) => Buffer.from(typeof value === 'string' ? value : '', 'base64').toString();
  const name = `${raw.metadata.namespace ?? 'default'}/${raw.metadata.name}`;
  into.set(name, { cert: decode(raw.data['tls.crt']), key: decode(raw.data['tls.key']) });
}

/** Whether anything changed. The main file last, and only once the proxy itself has read it without a fault. */
async function write(folder: string, files: ProxyFiles, check: readonly string[]): Promise<boolean> {
  const [main, ...others] = [...files];
  if (main === undefined) return false;
  let changed = false;
  for (const [name, text] of [...others, main]) {
    const path = join(folder, name);
    if ((await readFile(path, 'utf8').catch(() => undefined)) === text) continue;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    if (name === main[0]) await run(check[0] ?? '', [...check.slice(1), `${path}.new`]);
    await rename(`${path}.new`, path);
    changed = true;
  }
  return changed;
}

async function reconcile(watches: FolderWatches): Promise<void> {
  const table = await readTable(flags.manifests ?? '', watches);
  const proxyFrom = flags['proxy-from'];
  const keepAlive = Number(flags['keep-alive']);
  let changed = false;
  const into = async (folder: string | undefined, check: readonly string[], filesOf: typeof nginxFiles) => {
    if (folder === undefined) return;
    const options = { folder: resolve(folder), proxyFrom, keepAlive };
    changed = (await write(options.folder, filesOf(table, options), check)) || changed;
  };
  await into(flags.nginx, ['nginx', '-t', '-q', '-c'], nginxFiles);
  const haproxy = ['haproxy', '-c', '-f'];
  await into(flags.haproxy, haproxy, (...args) => haproxyFiles(...args, { kind: 'gateway' }));
  await into(flags.sidecar, haproxy, (...args) =>
    haproxyFiles(...args, { kind: 'sidecar', app: Number(flags.app) }),
  );
  if (!changed) return;
  say(`written: ${table.hosts.length - 1} hosts`);
  if (flags.reload !== undefined && !flags.once) await run('sh', ['-c', flags.reload]);
}

let wake: () => void = () => {};
const watches = new FolderWatches(() => wake());
for (;;) {
  await reconcile(watches).catch((error) => {
    say(`nothing was written, the last files stay: ${messageOf(error).slice(0, 500)}`);
    if (flags.once) process.exitCode = 1;
  });
  if (flags.once) break;
  // A change is read a moment after it was told; what was not told, within two seconds.
  await new Promise<void>((done) => {
    const timer = setTimeout(done, 2000);
    wake = () => {
      clearTimeout(timer);
      setTimeout(done, 50);
    };
  });
}
watches.close();
