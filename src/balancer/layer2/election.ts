/** Who announces an address: pure, and the same on every node that knows the same. */
import { cidrContains, type IpAddress } from '../../net/ip.js';
import type { Member, MembershipView } from '../membership/Member.js';
import { compareRank } from './rendezvous.js';

/** An address that somebody is to announce. */
export interface AddressWish {
  readonly address: IpAddress;
  /** Names of the advertisements that it is announced by. */
  readonly advertisements: readonly string[];
  /** The only nodes that may; undefined: any. */
  readonly nodes: ReadonlySet<string> | undefined;
  /** Comes first wherever it may announce at all (`penstock lb move`); undefined: nobody. */
  readonly movedTo: string | undefined;
}

/** What heartbeats say of a peer; absent: nothing. */
export type Liveness = ReadonlyMap<string, 'alive' | 'dead' | 'leaving'>;

export interface Election {
  /** Undefined: there is no candidate. */
  readonly owner: string | undefined;
  /** Candidates in their order. */
  readonly order: readonly string[];
  /** Those before the owner, whom only missing heartbeats exclude: they may be alive. */
  readonly passedOver: readonly string[];
}

/** More than any tier. */
const DEAF = 3;

export function elect(wish: AddressWish, view: MembershipView, liveness: Liveness): Election {
  const { address, movedTo } = wish;
  const ranked = [...view.members.values()]
    .map((member) => ({ name: member.name, tier: tierOf(member, wish) }))
    .filter(({ tier }) => tier !== undefined) as { readonly name: string; readonly tier: number }[];
  ranked.sort((a, b) => a.tier - b.tier || compareRank(address, a.name, b.name));
  const order = ranked.map(({ name }) => name);
  // Who leaves comes last: it answers until somebody else does, and on when there is nobody else.
  const staying = order.filter((name) => liveness.get(name) !== 'leaving');
  const passedOver: string[] = [];
  for (const name of staying.length > 0 ? staying : order) {
    if (liveness.get(name) === 'dead') passedOver.push(name);
    else return { owner: name, order, passedOver };
  }
  return { owner: order[0], order, passedOver: [] };

  function tierOf(member: Member, { advertisements, nodes }: AddressWish): number | undefined {
    if (!member.fresh) return undefined;
    if (nodes && !nodes.has(member.name)) return undefined;
    const { advertises } = member;
    const onNetwork =
      member.subnets.length === 0 || member.subnets.some((subnet) => cidrContains(subnet, address));
    const roles = (
      advertises ? advertisements.flatMap((name) => advertises.get(name) ?? []) : ['candidate' as const]
    ).filter((role) => onNetwork || role.endsWith('any network'));
    if (roles.length === 0) return undefined;
    const tier = member.name === movedTo ? 0 : roles.some((role) => role.startsWith('preferred')) ? 1 : 2;
    // After all that hear; among themselves in their order, as heartbeats may be forbidden everywhere.
    return member.deaf ? tier + DEAF : tier;
  }
}
