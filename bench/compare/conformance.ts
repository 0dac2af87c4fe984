/**
 * The packet flows of a folder with `flows.json` and `run.py` (../shared/conformance), beside one contender. The runner starts it anew for
 * each scenario and sends real packets; it gets its objects from an API server, as kube-proxy needs one.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PenstockError } from '../../src/errors.js';
import { serveApi } from '../../test/support/serveApi.js';
import { apiServerWith } from './asServed.js';
import { type ContenderCommand, clientConnection, kubeconfig } from './Contender.js';

export interface ConformanceTask {
  readonly contender: ContenderCommand;
  readonly folder: string;
  /** Only scenarios with this in their name. */
  readonly scenario: string;
  readonly patienceMs: number;
}

/** As the runner writes it. */
interface Observed {
  readonly scenario: string;
  readonly name: string;
  readonly protocol: string;
  readonly sourceIP: string;
  readonly destIP: string;
  readonly destPort: number;
  readonly expect: string | readonly string[];
  /** Whether the endpoint must see an address of the node instead of the client's. */
  readonly masq: boolean;
  readonly seen: readonly string[];
  readonly seenMasq: readonly boolean[];
}

export interface ConformanceResult {
  readonly scenario: string;
  /** `pod to cluster IP: TCP 10.0.0.2 -> 172.30.0.41:80` */
  readonly flow: string;
  readonly passed: boolean;
  /** `10.180.0.1:80, masqueraded` */
  readonly saw: string;
}

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
/** The node of the runner: the address that pods and clients reach it by. */
const NODE_ADDRESSES = ['192.168.0.2', '2001:db8::1'];
const KEPT = 2000;

/** In namespaces that nobody else has. Rejects with the runner's last words. */
export async function conformance({
  contender,
  folder,
  scenario,
  patienceMs,
}: ConformanceTask): Promise<readonly ConformanceResult[]> {
  const seen = join(mkdtempSync('/run/compare-'), 'seen.json');
  const words = [join(folder, 'run.py'), '--scenarios', join(folder, 'flows.json'), '--all-scenarios'];
  words.push('--mode', contender.mode, '--only', scenario, '--observe', seen);
  words.push('--agent', `'${process.execPath}' '${MAIN}' --inside "$COMPARE_TASK"`);
  const env = {
    ...process.env,
    COMPARE_TASK: JSON.stringify({ do: 'scenario', contender }),
    // Seconds until it must be ready.
    CONFORMANCE_LIMIT: String(patienceMs / 1000),
  };
  const child = spawn('python3', words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      log = `${log}${chunk}`.slice(-KEPT);
    });
  const code = await new Promise<number | string>((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('close', (status, signal) => resolve(status ?? signal ?? ''));
  });
  // A scenario in which the contender did not get ready has no flows: a comparison of the rest would look whole.
  const failed = /^FAIL .*/m.exec(log)?.[0];
  if (code !== 0 || failed !== undefined) {
    const last =
      log
        .trimEnd()
        .split('\n')
        .slice(failed === undefined ? -1 : -2)[0] ?? '';
    throw new PenstockError('PENSTOCK_CANNOT_TEST', `${contender.name}: ${failed ?? `${code}: ${last}`}`);
  }
  return (JSON.parse(readFileSync(seen, 'utf8')) as Observed[]).map(judge);
}

/** As the runner does where it does not only observe. */
function judge(observed: Observed): ConformanceResult {
  const { scenario, name, protocol, sourceIP, destIP, destPort, expect, masq, seen, seenMasq } = observed;
  const endpoints = seen.filter((place) => place.includes(':'));
  const isSame = (wanted: readonly string[]) => [...wanted].sort().join() === [...seen].sort().join();
  const passed =
    typeof expect !== 'string'
      ? isSame(expect) && seenMasq.every((each) => each === masq)
      : expect === 'NONE'
        ? endpoints.length === 0
        : isSame([expect]);
  const host = destIP.includes(':') ? `[${destIP}]` : destIP;
  const how =
    endpoints.length === 0 ? [] : seenMasq.map((each) => (each ? 'masqueraded' : 'not masqueraded'));
  return {
    scenario,
    flow: `${name}: ${protocol} ${sourceIP} -> ${host}:${destPort}`,
    passed,
    saw: [...[...seen].sort(), ...how.sort()].join(', '),
  };
}

/** For one scenario, in the runner's namespace of the node: the API server and the contender. Ends with it. */
export async function serveScenario(contender: ContenderCommand): Promise<never> {
  // The runner ends the whole group: the contender may end in its own time, and this process after it.
  process.on('SIGTERM', () => {});
  const { MANIFESTS = '', CONFIG = '', NODE_NAME = '' } = process.env;
  const objects = readdirSync(MANIFESTS).flatMap(
    (file) => (JSON.parse(readFileSync(join(MANIFESTS, file), 'utf8')) as { items: object[] }).items,
  );
  const node = {
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name: NODE_NAME },
    status: { addresses: NODE_ADDRESSES.map((address) => ({ type: 'InternalIP', address })) },
  };
  const api = await serveApi(apiServerWith([node, ...objects]));
  const path = join(dirname(CONFIG), 'kubeconfig.yaml');
  writeFileSync(path, kubeconfig(api.url));
  const config = join(dirname(CONFIG), 'with-api-server.yaml');
  writeFileSync(config, `${readFileSync(CONFIG, 'utf8')}${clientConnection(path)}\n`);
  const [program, ...words] = contender.command;
  const child = spawn(program, [...words, '--config', config], { stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(1));
    child.once('close', (status) => resolve(status ?? 1));
  });
  process.exit(code);
}
