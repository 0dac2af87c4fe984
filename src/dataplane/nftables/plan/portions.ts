/**
 * Changes in the portions in which they are written: first all that are small, in one transaction, then the big ones, so
 * that no Service waits for another with many ports, endpoints or entries of maglev. New ports of a Service come together: a port of a VIP
 * that is served is refused while it is not known itself.
 */
import type { ServicePortChange } from '../../../routing/ChangeSet.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import { countElements, countIndexes } from '../desired/servicePortElements.js';

/** Elements of one change, or of all that is new of one Service, that others do not wait for. */
const BIG = 2048;
/**
 * Elements of one portion, some 50 to 100 ms of work. While anybody on the machine listens to changes of tables, the kernel
 * makes a notice of 4 KiB for each element, and keeps all of a transaction until its end: 130 MB here, 1.5 GB for 300,000 at once.
 */
export const PORTION = 32_768;

/** Elements of big changes that are written before others have their turn: 10 to 20 ms of work. */
const TURN = 2048;
/** Entries of maglev that others have when one endpoint comes or goes, to those that were or will be its own. */
const MOVED_BESIDE = 1.2;

/** Namespaces of what all others need: the API server and the DNS. Their Services come first. */
const URGENT: ReadonlySet<string> = new Set(['default', 'kube-system']);

const NOTHING: readonly ServicePortChange[] = [];
const NONE: ReadonlySet<string> = new Set();

/** At least one portion, maybe empty. */
export function portions(changes: readonly ServicePortChange[]): readonly (readonly ServicePortChange[])[] {
  if (changes.length <= 1) return [changes];
  const small: ServicePortChange[][] = [[]];
  const big: ServicePortChange[][] = [];
  const room = { small: PORTION, big: 0 };
  const freed = new Set(changes.flatMap((change) => (mayWait(change) ? [] : placesOf(change.before))));
  const takesFreed = ({ before, after }: ServicePortChange) =>
    before === undefined && freed.size > 0 && placesOf(after).some((place) => freed.has(place));
  const groups: (readonly ServicePortChange[])[] = [];
  const added: { readonly change: ServicePortChange; readonly after: ServicePort }[] = [];
  for (const change of changes) {
    const { before, after } = change;
    // What may not wait for others is in the first portion, all of it.
    if (!mayWait(change) || takesFreed(change)) small[0]?.push(change);
    else if (before === undefined && after) added.push({ change, after });
    else groups.push([change]);
  }
  for (const group of byService(added, ({ after }) => after)) groups.push(group.map(({ change }) => change));
  for (const group of groups) {
    const size = group.reduce((sum, change) => sum + sizeOf(change), 0);
    const kind = size < BIG ? 'small' : 'big';
    const list = kind === 'small' ? small : big;
    if (room[kind] < size) {
      list.push([]);
      room[kind] = PORTION;
    }
    room[kind] -= size;
    for (const change of group) list.at(-1)?.push(change);
  }
  return [...small, ...big];
}

/**
 * What is written now, and the big ones that let others go first: those that serve on as before meanwhile, but with the endpoints of
 * before. In their order, so that each has its turn.
 */
export function turnOf(
  changes: readonly ServicePortChange[],
): readonly [now: readonly ServicePortChange[], later: readonly ServicePortChange[]] {
  if (changes.length <= 1) return [changes, NOTHING];
  const now: ServicePortChange[] = [];
  const later: ServicePortChange[] = [];
  let used = 0;
  for (const change of changes) {
    const isBig = sizeOf(change) >= BIG && servesOn(change);
    const size = isBig && used <= TURN ? differing(change) : 0;
    // Those after the first that waits wait too: each comes in its order.
    if (isBig && used > 0 && used + size > TURN) used = Number.POSITIVE_INFINITY;
    if (isBig && used === Number.POSITIVE_INFINITY) later.push(change);
    else {
      now.push(change);
      used += size;
    }
  }
  return [now, later];
}

/**
 * Of service ports that are all new or `served` already (Services, `namespace/name`): those of the first portion, and those after them;
 * what is served, urgent or small before the others. Whole Services; all that is served is in the first portion.
 */
export function firstPortion(
  ports: Iterable<ServicePort>,
  served: ReadonlySet<string> = NONE,
): readonly [first: readonly ServicePort[], later: readonly ServicePort[]] {
  const first: ServicePort[] = [];
  const urgent: (readonly ServicePort[])[] = [];
  const others: (readonly ServicePort[])[] = [];
  let room = PORTION;
  for (const service of byService(ports, (port) => port)) {
    const [port] = service as [ServicePort];
    if (!URGENT.has(port.namespace)) others.push(service);
    else if (served.has(serviceOf(port))) for (const each of service) first.push(each);
    else urgent.push(service);
  }
  const later: ServicePort[] = [];
  for (const list of [urgent, others]) {
    for (const service of list) {
      const size = service.reduce((sum, port) => sum + elementsOf(port), 0);
      const isNow = size < BIG && size <= room;
      if (isNow) room -= size;
      for (const port of service) (isNow ? first : later).push(port);
    }
  }
  return [first, later];
}

/** `namespace/name`. */
export function serviceOf({ namespace, service }: ServicePort): string {
  return `${namespace}/${service}`;
}

/** Items of one Service each, in the order of the first ones. */
function byService<Item>(items: Iterable<Item>, portOf: (item: Item) => ServicePort): readonly Item[][] {
  const groups: Item[][] = [];
  const known = new Map<string, Map<string, Item[]>>();
  for (const item of items) {
    const { namespace, service } = portOf(item);
    const services = known.get(namespace) ?? new Map<string, Item[]>();
    if (services.size === 0) known.set(namespace, services);
    const group = services.get(service);
    if (group) {
      group.push(item);
      continue;
    }
    const alone = [item];
    services.set(service, alone);
    groups.push(alone);
  }
  return groups;
}

/** Elements that changes may touch; no more than `enough` are counted. */
export function countTouched(changes: Iterable<ServicePortChange>, enough: number): number {
  let count = 0;
  for (const change of changes) {
    if (count >= enough) break;
    count += sizeOf(change);
  }
  return count;
}

/**
 * Addresses and ports that it gives up may be another's now, which then does not wait either: deleted and added they must be in one
 * transaction. A port that is renamed is gone under one name and new under another.
 */
function mayWait({ before, after }: ServicePortChange): boolean {
  return before === undefined || (after !== undefined && placesOf(before).join() === placesOf(after).join());
}

/** Whoever reached an endpoint before still does, and who gets none then gets none before. */
function servesOn({ before, after }: ServicePortChange): boolean {
  if (before === undefined || after === undefined) return false;
  const lists = ({ endpoints, internalPolicy, externalPolicy, affinitySeconds, sourceRanges }: ServicePort) =>
    [
      ...[endpoints.cluster, endpoints.local, endpoints.internal ?? []].map((list) => list.length > 0),
      internalPolicy,
      externalPolicy,
      affinitySeconds,
      sourceRanges.join(),
    ].join(' ');
  return lists(before) === lists(after) && mayWait({ key: '', before, after });
}

/** Where it is reached. */
function placesOf(port: ServicePort | undefined): readonly string[] {
  if (port === undefined) return [];
  const { clusterIP, protocol, nodePort, externalIPs, loadBalancerIPs } = port;
  const places = [clusterIP, ...externalIPs, ...loadBalancerIPs].map(
    (ip) => `${ip} ${port.port} ${protocol}`,
  );
  return nodePort === 0 || nodePort === undefined ? places : [...places, `${nodePort} ${protocol}`];
}

function sizeOf({ before, after }: ServicePortChange): number {
  return (before ? elementsOf(before) : 0) + (after ? elementsOf(after) : 0);
}

/** About how many elements a change of a service port writes. */
function differing({ before, after }: ServicePortChange): number {
  if (before === undefined || after === undefined) return 0;
  const size = elementsOf(after);
  const isSame = before.balancing.algorithm === 'maglev' && after.balancing === before.balancing;
  if (!isSame || elementsOf(before) !== size) return size + elementsOf(before);
  const [old, wanted] = [before, after].map(
    ({ endpoints }) => new Set(endpoints.reachable.map(({ target }) => target)),
  ) as [Set<string>, Set<string>];
  let moved = 0;
  for (const target of old) if (!wanted.has(target)) moved++;
  for (const target of wanted) if (!old.has(target)) moved++;
  return Math.ceil(size * Math.min(1, (MOVED_BESIDE * moved) / Math.max(old.size, wanted.size)));
}

function elementsOf(port: ServicePort): number {
  const { vips, nodePorts } = countElements(port, countIndexes(port));
  return vips + nodePorts;
}
