/**
 * The way of outside traffic as tests run it: the test's namespace is the client (203.0.113.5) and the router of a LAN with three nodes.
 * node1 announces the addresses and has no pod; node2 and node3 have nginx as ingress, app pods, an API gateway. The same as
 * `./scripts/demo path` shows.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeLan } from '../balancer/lan.js';
import { LanAgent } from '../balancer/lanAgent.js';
import { fromRoot } from '../fromRoot.js';
import { eventually, shell } from '../iptables.js';
import { type Answer, askEdge, type Question, runController } from '../pathProxies.js';
import { testCertificate } from '../testCertificate.js';
import { PathPod } from './PathPod.js';
import {
  API_VIP,
  EDGE_VIP,
  PATH_PODS,
  type PathSituation,
  type PodName,
  pathObjects,
  pathSecret,
} from './pathObjects.js';
import { stockRules } from './stockRules.js';

export const CLIENT = '203.0.113.5';
const NODES = [
  ['node1', 1],
  ['node2', 2],
  ['node3', 3],
] as const;
const SIDECAR_USER = 1337;

const file = (path: string) => fileURLToPath(fromRoot(path));

export class PathWorld {
  readonly folder = mkdtempSync(join(tmpdir(), 'penstock-path-'));
  readonly nodes: readonly [LanAgent, LanAgent, LanAgent];
  readonly pods: Readonly<Record<PodName, PathPod>>;
  #situation: PathSituation = {};
  readonly #manifests = join(this.folder, 'manifests');
  readonly #ingress = join(this.folder, 'ingress');

  constructor() {
    mkdirSync(this.#manifests);
    mkdirSync(this.#ingress);
    // HAProxy as another user reads its file in here.
    shell(`chmod 755 ${this.folder}`);
    makeLan();
    shell(`ip addr add ${CLIENT}/32 dev lo`);
    const node = ([name, last]: (typeof NODES)[number]) => {
      const more = ['clusterCIDR: 10.244.0.0/16'];
      const made = new LanAgent(name, last, { folder: this.#manifests, nodes: NODES, more });
      made.run(
        `sysctl -qw net.ipv4.conf.default.rp_filter=0; ip route add default via 192.0.2.254; ip addr add 10.244.${last}.1/32 dev lo`,
      );
      for (const [, other] of NODES)
        if (other !== last) made.run(`ip route add 10.244.${other}.0/24 via 192.0.2.${other}`);
      return made;
    };
    this.nodes = [node(NODES[0]), node(NODES[1]), node(NODES[2])];
    const pods = Object.entries(PATH_PODS).map(([name, [number, address]]) => [
      name,
      new PathPod(name, this.nodes[number - 1] as LanAgent, address),
    ]);
    this.pods = Object.fromEntries(pods) as Record<PodName, PathPod>;
    shell(`cp ${file('examples/path/manifests/shop.yaml')} ${this.#ingress}`);
    const secret = pathSecret(testCertificate(this.folder, 'shop.example'));
    writeFileSync(join(this.#ingress, 'secret.json'), JSON.stringify(secret));
  }

  /** What the cluster has from now on, besides what it had. */
  write(change: PathSituation): void {
    this.#situation = { ...this.#situation, ...change };
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pathObjects(this.#situation) });
    writeFileSync(join(this.folder, 'new.json'), text);
    renameSync(join(this.folder, 'new.json'), join(this.#manifests, 'path.json'));
  }

  /** Starts the agents, pods and gateways; resolves when a client has its answer. */
  async start(mode: string, situation: PathSituation = {}, keepAlive = 2): Promise<void> {
    this.write(situation);
    for (const node of this.nodes) {
      node.mode = mode;
      node.start();
    }
    for (const name of ['pod1', 'pod2', 'pod3'] as const) this.startApp(name);
    for (const name of ['edge1', 'edge2'] as const) this.startEdge(name, keepAlive);
    for (const node of this.nodes) await this.ready(node);
    await this.until('an answer', async () => (await this.ask({ host: 'shop.example' })).status === 200);
  }

  async ready(node: LanAgent): Promise<void> {
    const url = 'http://127.0.0.1:10256/readyz';
    const ask = () => node.run(`curl -s -o /dev/null -m 2 -w "%{http_code}" ${url} || true`) === '200';
    if (!(await eventually(ask, 120_000))) throw new Error(`${node.name} is not ready:\n${node.output}`);
  }

  async until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    if (await eventually(check, 60_000)) return;
    const said = [...this.nodes, ...Object.values(this.pods)].map(({ name, output }) => `${name}: ${output}`);
    throw new Error(`never came to ${what}\n${said.join('\n')}`);
  }

  /** As an administrator does. */
  async restart(node: LanAgent, signal: 'SIGTERM' | 'SIGKILL', mode = node.mode): Promise<void> {
    await node.end(signal);
    node.mode = mode;
    node.start();
    await this.ready(node);
  }

  /** Both nodes with pods, at the same time. */
  async changeMode(mode: string): Promise<void> {
    const [, ...nodes] = this.nodes;
    await Promise.all(nodes.map((node) => this.restart(node, 'SIGTERM', mode)));
  }

  /**
   * Stock's recorded rules instead of the agents of both nodes with pods. No agent is there for tier 1, so the router sends each
   * address to the node with its pod, as where that node announces it.
   */
  async beginStock(): Promise<void> {
    for (const number of [2, 3] as const) {
      const node = this.nodes[number - 1] as LanAgent;
      await node.end('SIGTERM');
      node.penstock('cleanup');
      const file = join(this.folder, `stock${number}`);
      writeFileSync(file, stockRules(number));
      node.run(`iptables-restore < ${file}`);
    }
    shell(`ip route add ${EDGE_VIP} via 192.0.2.2; ip route add ${API_VIP} via 192.0.2.3`);
  }

  /** Its rules go; agents are to be started. */
  endStock(): void {
    shell(`ip route del ${EDGE_VIP}; ip route del ${API_VIP}`);
    writeFileSync(join(this.folder, 'empty'), '*mangle\nCOMMIT\n*filter\nCOMMIT\n*nat\nCOMMIT\n');
    for (const node of this.nodes.slice(1)) node.run(`iptables-restore < ${join(this.folder, 'empty')}`);
  }

  startApp(name: PodName): void {
    this.pods[name].start(process.execPath, file('scripts/lib/pod.mjs'), name);
  }

  /** nginx, with the files of the example controller. */
  startEdge(name: PodName, keepAlive: number, ...more: readonly string[]): void {
    const out = join(this.folder, name);
    this.#controller('--nginx', out, '--keep-alive', String(keepAlive), ...more);
    this.pods[name].start('nginx', '-c', join(out, 'nginx.conf'), '-g', 'daemon off;');
  }

  /** HAProxy with routes of the same Ingress objects, and a mesh's REDIRECT. `change`: of HAProxy's file. */
  startSidecar(name: PodName, takes: 'all' | 'outbound', change = (text: string) => text): void {
    const out = join(this.folder, `${name}.sidecar`);
    this.#controller('--sidecar', out);
    const path = join(out, 'haproxy.cfg');
    writeFileSync(path, change(readFileSync(path, 'utf8')));
    shell(`chmod 755 ${out}; chmod 644 ${path}`);
    const user = ['setpriv', `--reuid=${SIDECAR_USER}`, `--regid=${SIDECAR_USER}`, '--clear-groups'];
    this.pods[name].start(...user, 'haproxy', '-db', '-f', path);
    const rules = readFileSync(fromRoot('examples/path/redirect.rules'), 'utf8');
    const wanted = takes === 'all' ? rules : rules.replace(/^-A PREROUTING.*\n/m, '');
    writeFileSync(join(out, 'rules'), wanted);
    this.pods[name].run(`iptables-restore --noflush < ${join(out, 'rules')}`);
  }

  /** `change`: of HAProxy's file. */
  startApiGateway(change = (text: string) => text): void {
    const path = join(this.folder, 'api-gateway.cfg');
    writeFileSync(path, change(readFileSync(fromRoot('examples/path/api-gateway.cfg'), 'utf8')));
    this.pods.api.start('haproxy', '-db', '-f', path);
  }

  /** The client asks, at the edge's address unless another is given. */
  ask(question: Question): Promise<Answer> {
    return askEdge({ address: EDGE_VIP, from: CLIENT, ...question });
  }

  askApi(path: string, key?: string): Promise<Answer> {
    const headers = key === undefined ? {} : { 'x-api-key': key };
    return this.ask({ address: API_VIP, host: 'api.example', path, headers });
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.pods).map((pod) => pod.close()));
    for (const node of this.nodes) node.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #controller(...args: readonly string[]): void {
    writeFileSync(
      join(this.#ingress, 'services.json'),
      readFileSync(join(this.#manifests, 'path.json'), 'utf8'),
    );
    const { status, said } = runController('--manifests', this.#ingress, ...args);
    if (status !== 0) throw new Error(`the controller: ${said}`);
  }
}
