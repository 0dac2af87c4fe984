/** Removes what mode ipvs made: only our own virtual servers, the sets (kube-proxy's too), kube-ipvs0 and the rules. */

import { existsSync } from 'node:fs';
import { append } from '../../append.js';
import { kernelName, SET_NAMES, type SetName, setSpec } from '../../dataplane/ipvs/desired/sets.js';
import { ownServers } from '../../dataplane/ipvs/kernel/ownership.js';
import { ServiceLink } from '../../dataplane/ipvs/kernel/ServiceLink.js';
import { planOwnRemoval, planRemoval, readSavedRules } from '../../dataplane/ipvs/rules/planRules.js';
import { PenstockError } from '../../errors.js';
import { primaryAddresses } from '../../kernel/host/hostAddresses.js';
import { Ipset } from '../../kernel/ipset/Ipset.js';
import { Ipvs } from '../../kernel/ipvs/Ipvs.js';
import { virtualServerKey } from '../../kernel/ipvs/VirtualServer.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { SERVICE_LINK } from '../../kernel/routes/constants.js';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import { connectionsEnded } from '../ipvsConnections.js';
import { type Removal, removeRules } from './removeRules.js';

export interface IpvsRemoval {
  readonly rules: readonly Removal[];
  /** What was removed, or would be: `virtual server 10.0.0.1:80/TCP`, `set KUBE-CLUSTER-IP`, `link kube-ipvs0`. */
  readonly objects: readonly string[];
  /** Why something may be left. */
  readonly error?: unknown;
}

/** `not kube-proxy's`: what kube-proxy's mode ipvs has too stays, as that goes on with it. */
export type IpvsShare = 'all' | "not kube-proxy's";

/**
 * `plan` changes nothing; `replace`: another mode serves already, and short connections under way are to end well first.
 * Never rejects: what failed is in the result, and the rest was done.
 */
export async function removeIpvs(
  what: 'plan' | 'remove' | 'replace',
  share: IpvsShare = 'all',
  clock = systemClock,
): Promise<IpvsRemoval> {
  // Rules refer to sets, so they go first.
  const planRules = share === 'all' ? planRemoval : planOwnRemoval;
  const rules = await removeRules(what === 'plan' ? 'plan' : 'remove', (saved) =>
    planRules(readSavedRules(Object.values(saved).join(''))),
  );
  const objects: string[] = [];
  try {
    await removeObjects(what, share, clock, objects);
    return { rules, objects };
  } catch (error) {
    return { rules, objects, error };
  }
}

async function removeObjects(
  what: 'plan' | 'remove' | 'replace',
  share: IpvsShare,
  clock: Clock,
  removed: string[],
): Promise<void> {
  const channels = [NetlinkProtocol.GENERIC, NetlinkProtocol.NETFILTER, NetlinkProtocol.ROUTE].map(
    (protocol) => NetlinkChannel.open(protocol),
  ) as [NetlinkChannel, NetlinkChannel, NetlinkChannel];
  const [generic, netfilter, route] = channels;
  try {
    const ipset = await openIpset(netfilter);
    const sets = ipset ? await readSets(ipset) : [];
    const link = new ServiceLink(route, () => {});
    if (what === 'replace') {
      const { IPv4: source } = await primaryAddresses();
      if (source !== undefined) await link.connectFrom(source);
    }
    await removeServers(what, share, clock, generic, sets, removed);
    const how = what === 'plan' ? 'plan' : 'remove';
    if (share === 'all' && (await link.delete(how))) removed.push(`link ${SERVICE_LINK}`);
    if (ipset) await removeSets(how, share, ipset, sets, removed);
  } finally {
    for (const channel of channels) channel.close();
  }
}

interface FamilySets {
  readonly family: IpFamily;
  readonly sets: ReadonlyMap<SetName, ReadonlyMap<string, number | undefined>>;
}

/** Undefined where the kernel has no sets at all. */
async function openIpset(channel: NetlinkChannel): Promise<Ipset | undefined> {
  try {
    return await Ipset.open(channel);
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'PENSTOCK_IPSET_UNSUPPORTED') return undefined;
    throw error;
  }
}

async function readSets(ipset: Ipset): Promise<FamilySets[]> {
  const names = new Set((await ipset.headers()).map(({ name }) => name));
  const families: FamilySets[] = [];
  for (const family of IP_FAMILIES) {
    const sets = new Map<SetName, ReadonlyMap<string, number | undefined>>();
    for (const name of SET_NAMES) {
      const spec = setSpec(name, family);
      const elements = names.has(spec.name) ? await ipset.list(spec) : undefined;
      if (elements) sets.set(name, elements);
    }
    families.push({ family, sets });
  }
  return families;
}

async function removeServers(
  what: 'plan' | 'remove' | 'replace',
  share: IpvsShare,
  clock: Clock,
  channel: NetlinkChannel,
  families: readonly FamilySets[],
  removed: string[],
): Promise<void> {
  // To ask about IPVS would load it.
  if (!existsSync('/proc/net/ip_vs')) return;
  const ipvs = await Ipvs.open(channel);
  const services = await ipvs.listServices();
  const gone = families.flatMap(({ family, sets }) => {
    const ofFamily = services.filter((service) => service.family === family);
    const ours = ownServers(ofFamily, sets, { excludeCIDRs: [] }, () => false);
    const own = ofFamily.filter((service) => ours.has(virtualServerKey(service)));
    // kube-proxy has none with a mark.
    return share === 'all' ? own : own.filter((service) => 'mark' in service);
  });
  if (what === 'replace') await connectionsEnded(ipvs, gone, clock);
  if (what !== 'plan') await ipvs.commit(gone.map((service) => ({ action: 'delete service', service })));
  append(
    removed,
    gone.map((service) => `virtual server ${virtualServerKey(service)}`),
  );
}

/** Rejects when a rule of somebody else refers to one of them. */
async function removeSets(
  what: 'plan' | 'remove',
  share: IpvsShare,
  ipset: Ipset,
  families: readonly FamilySets[],
  removed: string[],
): Promise<void> {
  for (const { family, sets } of families) {
    const wanted = [...sets.keys()].filter((name) => share === 'all' || name.startsWith('PENSTOCK-'));
    const names = wanted.map((name) => kernelName(name, family));
    if (what === 'remove') {
      const [refused] = await ipset.commit(names.map((name) => ({ action: 'destroy', set: { name } })));
      if (refused) throw refused.error;
    }
    append(
      removed,
      names.map((name) => `set ${name}`),
    );
  }
}
