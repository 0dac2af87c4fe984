/** A kubeconfig file, reduced to the connection of its current context. */
import { dirname, resolve } from 'node:path';
import { messageOf, PenstockError } from '../../errors.js';
import { FieldReader, Findings, isRawObject } from '../../objects/read/FieldReader.js';
import { readAtMost, readFileAtMost } from '../../readAtMost.js';
import { LARGEST_YAML, YamlFault, yamlDocument } from '../../yaml/boundedYaml.js';
import { type Connection, type ExecPlugin, NOBODY, type Secret, type User } from './Connection.js';

const EXEC_VERSIONS = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'] as const;
const PROXY_PROTOCOLS = ['http:', 'https:'];

/** Where a file is that the kubeconfig names, relative to itself. */
type PathOf = (name: string) => string;

/**
 * `master` wins over the server of the file. `filesAt`: for a file that another process names, where its files are for this one. They must
 * be plain files, and one that has a program run is refused, as that would run with the caller's rights. Throws PenstockError that names
 * file and field.
 */
export async function readKubeconfig(
  path: string,
  master: string,
  filesAt?: (path: string) => string,
): Promise<Connection> {
  const raw = readYaml(path, () =>
    filesAt ? readFileAtMost(filesAt(path), LARGEST_YAML) : readAtMost(path, LARGEST_YAML),
  );
  const findings = new Findings();
  const root = new FieldReader(raw, findings);
  const pathOf: PathOf = (name) => {
    const file = resolve(dirname(path), name);
    return filesAt ? filesAt(file) : file;
  };
  const connection = readConnection(root, pathOf, master);
  if (filesAt && connection.user.exec)
    throw new PenstockError(
      'PENSTOCK_KUBECONFIG_UNUSABLE',
      `kubeconfig ${path} has user.exec: a program that another process names is not run`,
      { remedy: 'If that file is to be trusted, give it yourself: --kubeconfig FILE.' },
    );
  if (findings.faults.isEmpty) return connection;
  throw unusable(path, findings.faults.sentences().join('; '));
}

function readYaml(path: string, readFile: () => Buffer): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFile().toString('utf8');
  } catch (error) {
    throw unusable(path, `cannot be read: ${messageOf(error)}`);
  }
  let raw: unknown;
  try {
    raw = yamlDocument(text, 'unique')?.document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw unusable(
      path,
      `is ${error instanceof YamlFault ? '' : 'no valid YAML: '}${messageOf(error).split('\n')[0]}`,
    );
  }
  if (isRawObject(raw)) return raw;
  throw unusable(path, 'is no kubeconfig: it must be an object with clusters, contexts and users');
}

function readConnection(root: FieldReader, pathOf: PathOf, master: string): Connection {
  const name = root.text('current-context');
  if (name === '') root.fault('current-context', 'the name of one of the contexts', undefined);
  const context = name === '' ? undefined : named(root, 'contexts', 'context', name);
  const cluster = context && named(root, 'clusters', 'cluster', context.text('cluster'));
  const userName = context?.text('user') ?? '';
  const user = userName === '' ? undefined : named(root, 'users', 'user', userName);
  const server = master || (cluster?.text('server') ?? '');
  if (cluster && !isHttpUrl(server)) cluster.fault('server', 'a URL such as https://10.0.0.1:6443', server);
  const proxy = cluster?.text('proxy-url') ?? '';
  if (cluster && proxy !== '' && !hasProtocol(proxy, PROXY_PROTOCOLS))
    cluster.fault('proxy-url', 'a URL with http or https (SOCKS proxies are not supported)', proxy);
  return {
    server: server.replace(/\/+$/, ''),
    ca: cluster && readSecret(cluster, 'certificate-authority', pathOf),
    tlsServerName: cluster?.text('tls-server-name') || undefined,
    verify: cluster?.boolean('insecure-skip-tls-verify', false) ? 'nothing' : 'certificate',
    proxy: proxy || undefined,
    compression: cluster?.boolean('disable-compression', false) ? 'none' : 'gzip',
    user: user ? readUser(user, pathOf) : NOBODY,
  };
}

function named(root: FieldReader, list: string, field: string, name: string): FieldReader | undefined {
  const entry = root.objects(list).find((item) => item.fields.name === name);
  if (entry) return entry.object(field);
  root.findings.faults.add(`${list} has none with the name ${JSON.stringify(name)}`);
  return undefined;
}

function readUser(user: FieldReader, pathOf: PathOf): User {
  const token = user.text('token');
  const tokenFile = user.text('tokenFile');
  const cert = readSecret(user, 'client-certificate', pathOf);
  const key = readSecret(user, 'client-key', pathOf);
  if (cert && !key) user.fault('client-key', 'given with client-certificate');
  if (key && !cert) user.fault('client-certificate', 'given with client-key');
  if (user.has('auth-provider')) user.fault('auth-provider', 'replaced by exec', undefined);
  const username = user.text('username');
  return {
    // As client-go: the file wins, since it is the one that can rotate.
    token:
      tokenFile !== ''
        ? { type: 'file', path: pathOf(tokenFile) }
        : token !== ''
          ? { type: 'data', data: token }
          : undefined,
    certificate: cert && key ? { cert, key } : undefined,
    basic: username === '' ? undefined : { username, password: user.text('password') },
    exec: user.has('exec') ? readExec(user.object('exec'), pathOf) : undefined,
  };
}

function readExec(exec: FieldReader, pathOf: PathOf): ExecPlugin {
  const command = exec.text('command');
  if (command === '') exec.fault('command', 'the program that prints the credential');
  if (!exec.has('apiVersion')) exec.fault('apiVersion', `one of ${EXEC_VERSIONS.join(', ')}`);
  if (exec.text('interactiveMode') === 'Always')
    exec.fault('interactiveMode', 'Never or IfAvailable: an agent has nobody to ask');
  return {
    // A path is relative to the file, a bare name is looked for in PATH.
    command: command.includes('/') ? pathOf(command) : command,
    args: exec.texts('args'),
    env: Object.fromEntries(exec.objects('env').map((item) => [item.text('name'), item.text('value')])),
    apiVersion: exec.choice('apiVersion', EXEC_VERSIONS, EXEC_VERSIONS[0]),
    installHint: exec.text('installHint'),
    provideClusterInfo: exec.boolean('provideClusterInfo', false),
  };
}

/** `<name>-data` wins over the file `<name>`, as in client-go. */
function readSecret(reader: FieldReader, name: string, pathOf: PathOf): Secret | undefined {
  const data = reader.text(`${name}-data`);
  if (data !== '') return { type: 'data', data: Buffer.from(data, 'base64').toString() };
  const file = reader.text(name);
  return file === '' ? undefined : { type: 'file', path: pathOf(file) };
}

function isHttpUrl(text: string): boolean {
  return hasProtocol(text, ['http:', 'https:']);
}

function hasProtocol(text: string, protocols: readonly string[]): boolean {
  return URL.canParse(text) && protocols.includes(new URL(text).protocol);
}

function unusable(path: string, what: string): PenstockError {
  return new PenstockError('PENSTOCK_KUBECONFIG_UNUSABLE', `kubeconfig ${path}: ${what}`, {
    remedy:
      'Correct the file, or name another one with --kubeconfig; `kubectl --kubeconfig FILE get nodes` tries it.',
  });
}
