/**
 * A source whose endpoints nobody else checks (manifests), with those that fail their health check made not ready. A Service asks
 * for it by annotation; what is delivered for all others is what came.
 */
import type { ObjectSource, SourceListener } from '../../kubernetes/ObjectSource.js';
import { joinHostPort } from '../../net/ip.js';
import { type ApiObject, type ObjectChange, objectPath, ownerPath } from '../../objects/ApiObject.js';
import type { EndpointSlice } from '../../objects/EndpointSlice.js';
import { boundedProblems, type Problem } from '../../objects/Problem.js';
import type { Clock } from '../../time/Clock.js';
import { connectOnce, limited } from './connectOnce.js';
import { type Connect, EndpointCheck } from './EndpointCheck.js';
import { type CheckSettings, readHealthCheck } from './readHealthCheck.js';

export interface CheckedSourceOptions {
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly connect?: Connect;
}

/** More endpoints are not checked: checks are work and packets without end. */
const MOST_CHECKS = 2000;
const MOST_AT_ONCE = 128;
/** Milliseconds: what fails at once is told at once. */
const GATHER_MS = 20;

interface CheckedService {
  readonly check: CheckSettings;
  /** By `10.0.0.1:8080`. */
  readonly checks: Map<string, EndpointCheck>;
}

export class CheckedSource implements ObjectSource {
  readonly name: string;
  readonly #source: ObjectSource;
  readonly #options: CheckedSourceOptions;
  readonly #connect: Connect;
  /** By `namespace/name`; only Services that ask for checks. */
  readonly #services = new Map<string, CheckedService>();
  readonly #faults = new Map<string, readonly string[]>();
  /** As they came, by their own `namespace/name`. */
  readonly #slices = new Map<string, EndpointSlice>();
  /** By the `namespace/name` of their Service: the one slice that most have, or a set of them. */
  readonly #slicesOfService = new Map<string, EndpointSlice | Set<EndpointSlice>>();
  #sourceProblems: readonly Problem[] = [];
  #listener: SourceListener | undefined;
  readonly #changed = new Set<string>();
  #cancel: (() => void) | undefined;
  #count = 0;

  constructor(source: ObjectSource, options: CheckedSourceOptions) {
    this.name = source.name;
    this.#source = source;
    this.#options = options;
    this.#connect = limited(options.connect ?? connectOnce(options.clock), MOST_AT_ONCE);
  }

  start(listener: SourceListener): Promise<void> {
    this.#listener = listener;
    return this.#source.start({
      changes: (batch) => this.#take(batch),
      others: (list) => listener.others?.(list),
      complete: () => listener.complete(),
      problems: (list) => {
        this.#sourceProblems = list;
        this.#tellProblems();
      },
    });
  }

  async stop(): Promise<void> {
    this.#listener = undefined;
    this.#cancel?.();
    for (const name of [...this.#services.keys()]) this.#forget(name);
    await this.#source.stop();
  }

  #take(batch: readonly ObjectChange[]): void {
    const touched = new Set<string>();
    for (const change of batch) {
      if (change.type === 'delete') {
        const { ref } = change;
        if (ref.kind === 'Service') this.#takeService(objectPath(ref), {}, touched);
        else if (ref.kind === 'EndpointSlice') this.#dropSlice(ref, touched);
      } else if (change.object.kind === 'Service') {
        this.#takeService(objectPath(change.object), change.object.options, touched);
      } else if (change.object.kind === 'EndpointSlice') this.#takeSlice(change.object, touched);
    }
    for (const name of touched) this.#renew(name);
    if (touched.size === 0 && this.#services.size === 0) {
      this.#listener?.changes(batch);
      this.#tellProblems();
      return;
    }
    const delivered = new Set<EndpointSlice>();
    const changes = batch.map((change) => {
      if (change.type === 'delete' || change.object.kind !== 'EndpointSlice') return change;
      delivered.add(change.object);
      return { type: 'upsert', object: this.#checked(change.object) } as const;
    });
    // Those of a Service whose checks have changed, as they are now.
    for (const name of touched) {
      for (const slice of this.#slicesOf(name))
        if (!delivered.has(slice)) changes.push({ type: 'upsert', object: this.#checked(slice) });
    }
    this.#listener?.changes(changes);
    this.#tellProblems();
  }

  #takeService(name: string, options: Readonly<Record<string, string>>, touched: Set<string>): void {
    const { check, faults } = readHealthCheck(options);
    if (faults.length > 0) this.#faults.set(name, faults);
    else this.#faults.delete(name);
    const before = this.#services.get(name);
    if (JSON.stringify(before?.check) === JSON.stringify(check)) return;
    this.#forget(name);
    if (check !== undefined) this.#services.set(name, { check, checks: new Map() });
    touched.add(name);
  }

  #takeSlice(slice: EndpointSlice, touched: Set<string>): void {
    this.#dropSlice(slice, touched);
    const name = ownerPath(slice);
    this.#slices.set(objectPath(slice), slice);
    const others = this.#slicesOfService.get(name);
    if (others instanceof Set) others.add(slice);
    else this.#slicesOfService.set(name, others === undefined ? slice : new Set([others, slice]));
    if (this.#services.has(name)) touched.add(name);
  }

  #dropSlice(ref: { readonly namespace: string; readonly name: string }, touched: Set<string>): void {
    const path = objectPath(ref);
    const slice = this.#slices.get(path);
    if (slice === undefined) return;
    this.#slices.delete(path);
    const name = ownerPath(slice);
    const all = this.#slicesOfService.get(name);
    if (all instanceof Set) all.delete(slice);
    if (!(all instanceof Set) || all.size === 0) this.#slicesOfService.delete(name);
    if (this.#services.has(name)) touched.add(name);
  }

  #forget(name: string): void {
    const service = this.#services.get(name);
    if (service === undefined) return;
    for (const check of service.checks.values()) check.stop();
    this.#count -= service.checks.size;
    this.#services.delete(name);
  }

  /** Begins the checks that are missing and ends those that nobody needs. */
  #renew(name: string): void {
    const service = this.#services.get(name);
    if (service === undefined) return;
    const targets = this.#targets(name);
    for (const [target, check] of service.checks) {
      if (targets.has(target)) continue;
      check.stop();
      service.checks.delete(target);
      this.#count--;
    }
    for (const [target, { address, port }] of targets) {
      if (service.checks.has(target) || this.#count >= MOST_CHECKS) continue;
      this.#count++;
      const { clock, random } = this.#options;
      const onChange = () => this.#changeSoon(name);
      const { check } = service;
      service.checks.set(
        target,
        new EndpointCheck({ address, port, check, connect: this.#connect, onChange, clock, random }),
      );
    }
  }

  #changeSoon(name: string): void {
    this.#changed.add(name);
    this.#cancel ??= this.#options.clock.after(GATHER_MS, () => {
      this.#cancel = undefined;
      const names = [...this.#changed];
      this.#changed.clear();
      const slices = names.flatMap((each) => this.#slicesOf(each));
      this.#listener?.changes(slices.map((slice) => ({ type: 'upsert', object: this.#checked(slice) })));
      this.#tellProblems();
    });
  }

  /** Not ready is who takes no connection on one of its TCP ports. */
  #checked(slice: EndpointSlice): ApiObject {
    const checks = this.#services.get(ownerPath(slice))?.checks;
    if (checks === undefined || checks.size === 0) return slice;
    const fails = (address: EndpointSlice['endpoints'][number]['address']) =>
      slice.ports.some(({ port }) => checks.get(joinHostPort(address, port))?.failure !== undefined);
    if (!slice.endpoints.some(({ address }) => fails(address))) return slice;
    const endpoints = slice.endpoints.map((endpoint) =>
      fails(endpoint.address) ? { ...endpoint, ready: false, serving: false } : endpoint,
    );
    return { ...slice, endpoints };
  }

  #tellProblems(): void {
    const own: Problem[] = [];
    for (const [name, faults] of this.#faults)
      for (const message of faults) own.push({ subject: `Service ${name}`, message });
    for (const [name, { checks, check }] of this.#services) {
      for (const [target, { failure }] of checks) {
        if (failure === undefined) continue;
        const message = `endpoint ${target} takes no connection (${failure}); it gets none until it took ${check.rise} in a row`;
        own.push({ subject: `Service ${name}`, message });
      }
      const more = this.#targets(name).size - checks.size;
      if (more > 0)
        own.push({
          subject: `Service ${name}`,
          message: `${more} endpoints are not checked: ${MOST_CHECKS} are the most that one agent checks`,
        });
    }
    this.#listener?.problems(boundedProblems([...this.#sourceProblems, ...own], this.name));
  }

  /** By `10.0.0.1:8080`. */
  #targets(name: string): ReadonlyMap<string, Target> {
    return new Map(this.#slicesOf(name).flatMap((slice) => [...targetsOf(slice)]));
  }

  #slicesOf(name: string): readonly EndpointSlice[] {
    const slices = this.#slicesOfService.get(name);
    if (slices === undefined) return [];
    return slices instanceof Set ? [...slices] : [slices];
  }
}

interface Target {
  readonly address: string;
  readonly port: number;
}

/** TCP ports of endpoints that would serve. */
function* targetsOf({ ports, endpoints }: EndpointSlice): Iterable<[string, Target]> {
  for (const { address, ready } of endpoints) {
    if (!ready) continue;
    for (const { port, protocol } of ports)
      if (protocol === 'TCP') yield [joinHostPort(address, port), { address, port }];
  }
}
