/**
 * An ingress controller, as an example of what all of them are: Ingress objects in, a proxy's file out. It is no product.
 *
 *     node dist/examples/path/controller.js --manifests FOLDER --nginx FOLDER --haproxy FOLDER --sidecar FOLDER
 *       [--proxy-from NETWORK…] [--keep-alive SECONDS] [--reload COMMAND] [--once]
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { messageOf } from '../../src/errors.js';
import { ManifestSource } from '../../src/kubernetes/manifests/ManifestSource.js';
import type { IsOther } from '../../src/kubernetes/manifests/otherGroups.js';
import type { OtherObject } from '../../src/kubernetes/ObjectSource.js';
import { printableLines } from '../../src/net/printable.js';
import { objectPath } from '../../src/objects/ApiObject.js';
import type { Service } from '../../src/objects/Service.js';
import { pemOf } from './certificate.js';
import { gatewayFiles, sidecarFiles } from './haproxy.js';
import { type Ingress, readIngress } from './ingress.js';
import { nginxFiles } from './nginx.js';
import { buildRoutes, type RouteTable } from './routes.js';
import type { ProxyFiles } from './template.js';

const run = promisify(execFile);
const text = { type: 'string' } as const;
const { values: flags } = parseArgs({
  options: {
    ...{ manifests: text, nginx: text, haproxy: text, sidecar: text, reload: text, 'keep-alive': text },
    'proxy-from': { type: 'string', multiple: true, default: [] },
    once: { type: 'boolean', default: false },
  },
});
const say = (line: string): void => void process.stderr.write(printableLines(`ingress: ${line}\n`));

const services = new Map<string, Service>();
/** Ingress objects and Secrets. */
let others: readonly OtherObject[] = [];
let working = Promise.resolve();
let isDue = false;

function readTable(): RouteTable {
  const ingresses: Ingress[] = [];
  const secrets = new Map<string, string>();
  for (const { raw } of others) {
    const { kind, metadata, data } = raw as {
      kind: string;
      metadata?: Record<string, string>;
      data?: object;
    };
    const path = `${metadata?.namespace ?? 'default'}/${metadata?.name}`;
    try {
      const ingress = readIngress(raw);
      if (typeof ingress === 'string') throw new Error(ingress);
      if (ingress !== undefined) ingresses.push(ingress);
      if (kind === 'Secret' && data && 'tls.crt' in data) secrets.set(path, pemOf({ ...data }));
    } catch (error) {
      say(`${kind} ${path} is left out: ${messageOf(error)}`);
    }
  }
  return buildRoutes({ ingresses, services, secrets }, say);
}

/** Whether anything changed. The main file last, and only once the proxy itself has read it without a fault. */
async function write(folder: string, files: ProxyFiles, check: string): Promise<boolean> {
  const [program = '', ...words] = check.split(' ');
  const [main] = files.keys();
  let changed = false;
  for (const [name, content] of [...files].reverse()) {
    const path = join(folder, name);
    if ((await readFile(path, 'utf8').catch(() => undefined)) === content) continue;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(`${path}.new`, content, { mode: 0o600 });
    if (name === main) await run(program, [...words, `${path}.new`]);
    await rename(`${path}.new`, path);
    changed = true;
  }
  return changed;
}

async function reconcile(): Promise<void> {
  const table = readTable();
  const { nginx, haproxy, sidecar, reload } = flags;
  const options = { proxyFrom: flags['proxy-from'], keepAlive: Number(flags['keep-alive'] ?? 10) };
  const at = (folder: string) => ({ folder: resolve(folder), ...options });
  const changed = [
    nginx && (await write(nginx, nginxFiles(table, at(nginx)), 'nginx -t -q -c')),
    haproxy && (await write(haproxy, gatewayFiles(table, at(haproxy)), 'haproxy -c -f')),
    sidecar && (await write(sidecar, sidecarFiles(table, at(sidecar)), 'haproxy -c -f')),
  ].includes(true);
  if (changed) say(`written: ${table.routes.length} routes`);
  if (changed && reload && !flags.once) await run('sh', ['-c', reload]);
}

/** One at a time, once for changes that come together. What fails is tried again: the last files stay until then. */
function work(): void {
  if (isDue) return;
  isDue = true;
  working = working.then(async () => {
    isDue = false;
    await reconcile().catch((error) => {
      say(`nothing was written, the last files stay: ${messageOf(error).slice(0, 500)}`);
      if (flags.once) process.exitCode = 1;
      else setTimeout(work, 2000);
    });
  });
}

const isOurs: IsOther = (version, kind) =>
  (version === 'networking.k8s.io/v1' && kind === 'Ingress') || (version === 'v1' && kind === 'Secret');
const source = new ManifestSource(flags.manifests ?? '.', undefined, undefined, isOurs);
await source.start({
  changes(batch) {
    for (const change of batch) {
      if (change.type === 'delete') services.delete(objectPath(change.ref));
      else if (change.object.kind === 'Service') services.set(objectPath(change.object), change.object);
    }
    work();
  },
  others(list) {
    others = list;
    work();
  },
  complete: work,
  problems: (list) => say(list.map(({ subject, message }) => `${subject}: ${message}`).join('\n')),
});
if (flags.once) await source.stop();
