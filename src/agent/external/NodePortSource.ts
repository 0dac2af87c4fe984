/**
 * The objects of a cluster as a balancer outside of it needs them: Services of type LoadBalancer, each with the nodes as its
 * endpoints, at its node ports, as long as they pass their checks (docs/external-balancer.md). Of the cluster's own endpoints
 * nothing is used.
 */
import type { ObjectSource, SourceContact, SourceListener } from '../../kubernetes/ObjectSource.js';
import { type IpAddress, joinHostPort } from '../../net/ip.js';
import { type ApiObject, type ObjectChange, objectName, objectPath, refOf } from '../../objects/ApiObject.js';
import type { Node } from '../../objects/Node.js';
import { boundedProblems, MOST_PROBLEMS, type Problem } from '../../objects/Problem.js';
import type { Service, ServicePortSpec } from '../../objects/Service.js';
import { sameObject } from '../../objects/sameObject.js';
import type { Clock } from '../../time/Clock.js';
import { connectOnce } from '../checks/connectOnce.js';
import { getOnce } from '../checks/getOnce.js';
import { type CheckSettings, readSettings } from '../checks/readHealthCheck.js';
import { MOST_CHECKS, NodeChecks, type NodeChecksOptions } from './NodeChecks.js';
import {
  addressOfNode,
  asksProxy,
  balancedService,
  type CheckTarget,
  checkOf,
  familiesOf,
  isUsedAlike,
  type NodeUse,
  nodePortSlices,
  reachablePorts,
  useOfNode,
} from './nodePortObjects.js';

export interface NodePortSourceOptions {
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  /** Of this machine: Services that have no address of their own are served at these. */
  readonly addresses: readonly IpAddress[];
  readonly connect?: NodeChecksOptions['connect'];
}

/** A node that dies is found in 2 to 3 s. */
const CHECK: CheckSettings = { interval: 1000, timeout: 1000, rise: 2, fall: 2 };
/** Milliseconds: what fails at once is told at once. */
const GATHER_MS = 20;
/** Milliseconds that a start waits for the first answers of nodes. */
const FIRST_ANSWERS_MS = 3000;

interface Balanced {
  readonly service: Service;
  readonly settings: CheckSettings;
  readonly faults: readonly string[];
  /** What was delivered of it, by name. */
  readonly delivered: Map<string, ApiObject>;
  /** Those that anybody may be told of, and how many more there are. */
  problems: readonly Problem[];
  more: number;
  /** Node ports that there was no room to check. */
  unchecked: number;
}

export class NodePortSource implements ObjectSource {
  readonly name: string;
  readonly #source: ObjectSource;
  readonly #options: NodePortSourceOptions;
  readonly #checks: NodeChecks;
  readonly #services = new Map<string, Balanced>();
  readonly #nodes = new Map<string, Node>();
  #sourceProblems: readonly Problem[] = [];
  #listener: SourceListener | undefined;
  #complete: 'no' | 'read' | 'told' = 'no';
  readonly #changed = new Set<string>();
  readonly #cancels = new Set<() => void>();

  constructor(source: ObjectSource, options: NodePortSourceOptions) {
    const {
      clock,
      random,
      connect = { connects: connectOnce(clock), 'answers 200': getOnce(clock) },
    } = options;
    this.name = source.name;
    this.#source = source;
    this.#options = options;
    const onChange = (users: Iterable<string>) => this.#changeSoon(users);
    this.#checks = new NodeChecks({ clock, random, connect, onChange });
  }

  start(listener: SourceListener): Promise<void> {
    this.#listener = listener;
    return this.#source.start({
      changes: (batch) => this.#take(batch),
      others: (list) => listener.others?.(list),
      complete: () => {
        this.#complete = 'read';
        this.#after(FIRST_ANSWERS_MS, () => this.#tellComplete());
        if (this.#checks.settled) this.#tellComplete();
      },
      problems: (list) => {
        this.#sourceProblems = list;
        this.#tellProblems();
      },
    });
  }

  contacts(): readonly SourceContact[] {
    return this.#source.contacts?.() ?? [];
  }

  async stop(): Promise<void> {
    this.#listener = undefined;
    for (const cancel of this.#cancels) cancel();
    this.#checks.stop();
    await this.#source.stop();
  }

  #take(batch: readonly ObjectChange[]): void {
    const touched = new Set<string>();
    const changes: ObjectChange[] = [];
    for (const change of batch) {
      const ref = change.type === 'delete' ? change.ref : refOf(change.object);
      const object = change.type === 'delete' ? undefined : change.object;
      if (ref.kind === 'Node') {
        const before = this.#nodes.get(ref.name);
        if (object?.kind === 'Node') this.#nodes.set(ref.name, object);
        else this.#nodes.delete(ref.name);
        // Each node is an endpoint of every Service.
        if (!isUsedAlike(before, this.#nodes.get(ref.name)))
          for (const path of this.#services.keys()) touched.add(path);
      } else if (ref.kind === 'Service') {
        const path = objectPath(ref);
        if (object?.kind === 'Service' && object.type === 'LoadBalancer') {
          this.#takeService(path, object);
          touched.add(path);
        } else this.#dropService(path, changes);
      }
    }
    if (touched.size === 0 && changes.length === 0) return;
    this.#publish(touched, changes);
    if (!this.#checks.hasRoom) return;
    // Of those that there was no room for.
    const waiting = [...this.#services].flatMap(([path, { unchecked }]) => (unchecked > 0 ? [path] : []));
    if (waiting.length > 0) this.#publish(waiting, []);
  }

  #takeService(path: string, service: Service): void {
    const { check, faults } = readSettings(service.options, CHECK);
    const delivered = this.#services.get(path)?.delivered ?? new Map<string, ApiObject>();
    const balanced = { service, settings: check, faults, delivered, problems: [], more: 0, unchecked: 0 };
    this.#services.set(path, balanced);
  }

  #dropService(path: string, changes: ObjectChange[]): void {
    const balanced = this.#services.get(path);
    if (balanced === undefined) return;
    this.#services.delete(path);
    this.#checks.use(path, [], balanced.settings);
    for (const object of balanced.delivered.values()) changes.push({ type: 'delete', ref: refOf(object) });
  }

  /** Begins and ends checks of these Services, and delivers what is different now. */
  #publish(paths: Iterable<string>, changes: ObjectChange[]): void {
    for (const path of paths) {
      const balanced = this.#services.get(path);
      if (balanced === undefined) continue;
      const { service, settings, delivered } = balanced;
      this.#checks.use(path, [...this.#targets(service)], settings);
      const wanted = new Map<string, ApiObject>();
      const objects = [balancedService(service, this.#options.addresses), ...this.#slices(balanced)];
      for (const object of objects) wanted.set(objectName(refOf(object)), object);
      for (const [name, object] of delivered) {
        if (wanted.has(name)) continue;
        delivered.delete(name);
        changes.push({ type: 'delete', ref: refOf(object) });
      }
      for (const [name, object] of wanted) {
        const before = delivered.get(name);
        if (before !== undefined && sameObject(before, object)) continue;
        delivered.set(name, object);
        changes.push({ type: 'upsert', object });
      }
      this.#judge(path, balanced);
    }
    if (changes.length > 0) this.#listener?.changes(changes);
    this.#tellProblems();
  }

  #slices({ service, settings }: Balanced) {
    const noneAnswers = new Map<ServicePortSpec, boolean>();
    return nodePortSlices(service, this.#nodeList(), (port, node, address): NodeUse => {
      const use = useOfNode(node);
      if (use === 'none') return use;
      const target = checkOf(service, port, address);
      const state = this.#checks.state(target, settings);
      if (state.type === 'passes' || state.type === 'not checked') return use;
      if (!asksProxy(target)) return 'none';
      // Whoever cannot reach the health of any proxy knows nothing of the nodes.
      if (!noneAnswers.has(port)) noneAnswers.set(port, this.#noneAnswers(service, settings, port));
      return noneAnswers.get(port) ? 'last' : 'none';
    });
  }

  #noneAnswers(service: Service, settings: CheckSettings, port: ServicePortSpec): boolean {
    for (const { target } of this.#askedFor(service, [port]))
      if (this.#checks.state(target, settings).type !== 'fails') return false;
    return true;
  }

  *#targets(service: Service) {
    for (const { target } of this.#askedFor(service)) yield target;
  }

  /** Nodes that may get connections, and what is asked of each. */
  *#askedFor(service: Service, ports = reachablePorts(service)) {
    for (const node of this.#nodes.values()) {
      if (useOfNode(node) === 'none') continue;
      for (const family of familiesOf(service)) {
        const address = addressOfNode(node, family);
        if (address === undefined) continue;
        for (const port of ports) yield { node, port, target: checkOf(service, port, address) };
      }
    }
  }

  /** In one order, whatever order they came in. */
  #nodeList(): readonly Node[] {
    return [...this.#nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #changeSoon(users: Iterable<string>): void {
    if (this.#changed.size === 0)
      this.#after(GATHER_MS, () => {
        const paths = [...this.#changed];
        this.#changed.clear();
        this.#publish(paths, []);
        if (this.#complete === 'read' && this.#checks.settled) this.#tellComplete();
      });
    for (const user of users) this.#changed.add(user);
  }

  #tellComplete(): void {
    if (this.#complete === 'told') return;
    this.#complete = 'told';
    this.#listener?.complete();
  }

  #after(milliseconds: number, action: () => void): void {
    const cancel = this.#options.clock.after(milliseconds, () => {
      this.#cancels.delete(cancel);
      action();
    });
    this.#cancels.add(cancel);
  }

  #tellProblems(): void {
    let unnamed = 0;
    for (const { more } of this.#services.values()) unnamed += more;
    this.#listener?.problems(boundedProblems(this.#problems(), this.name, { unnamed }));
  }

  *#problems(): Generator<Problem> {
    yield* this.#sourceProblems;
    let all = 0;
    for (const { problems, unchecked } of this.#services.values()) {
      yield* problems;
      all += unchecked;
    }
    if (all === 0) return;
    const message = `${all} node ports are not checked: ${MOST_CHECKS} are the most that one balancer checks`;
    yield { subject: this.name, message };
  }

  /** What is wrong with one Service. */
  #judge(path: string, balanced: Balanced): void {
    const { service, settings, faults } = balanced;
    const subject = `Service ${path}`;
    const problems: Problem[] = faults.map((message) => ({ subject, message }));
    balanced.problems = problems;
    balanced.more = 0;
    balanced.unchecked = 0;
    if (service.loadBalancerIngress.length === 0 && this.#options.addresses.length === 0)
      problems.push({ subject, message: NO_ADDRESS, severity: 'note' });
    for (const { name, protocol, port, nodePort } of service.ports)
      if (nodePort === 0) problems.push({ subject, message: noNodePort(name || `${port}/${protocol}`) });
    let serving = 0;
    for (const { node, port, target } of this.#askedFor(service)) {
      const state = this.#checks.state(target, settings);
      if (state.type === 'not checked') balanced.unchecked++;
      if (state.type !== 'fails') serving++;
      else if (isUsual(service, state.why)) continue;
      else if (problems.length < MOST_PROBLEMS)
        problems.push({ subject, message: failing(node, port, target, state.why, settings.rise) });
      else balanced.more++;
    }
    if (serving === 0 && reachablePorts(service).length > 0) problems.push({ subject, message: NO_NODE });
  }
}

function failing(node: Node, port: ServicePortSpec, target: CheckTarget, why: string, rise: number): string {
  const asked = `${joinHostPort(target.address, target.port)}: ${why}`;
  if (asksProxy(target))
    return `port ${port.port}/${port.protocol} cannot be checked, and the proxy of node ${node.name} does not say that it is well (${asked})`;
  const what =
    target.by === 'connects' ? `takes no connection for port ${port.port}` : 'fails the health check';
  return `node ${node.name} ${what} (${asked}); it gets none until it passed ${rise} in a row`;
}

const NO_ADDRESS =
  'it has no address yet: penstock allocator gives one, or penstock.externalBalancer.addresses names those of this machine';
const NO_NODE =
  'no node serves it: a Node needs an address of its family, no label node.kubernetes.io/exclude-from-external-load-balancers, and must pass the check';

function noNodePort(port: string): string {
  return `port ${port} has no node port, so it cannot be reached from outside of the cluster: set spec.allocateLoadBalancerNodePorts to true`;
}

/** That a node has no endpoint is what policy Local asks for. */
function isUsual({ externalTrafficPolicy }: Service, why: string): boolean {
  return externalTrafficPolicy === 'Local' && why === 'answers 503';
}
