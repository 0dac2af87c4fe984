/** What a peer has been told, and what it is to be told next (RFC 4271, Adj-RIB-Out): pure. */
import { append } from '../../append.js';
import { type Cidr, familyOf, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { CommunityValue } from '../objects/communities.js';
import { encodeAnnouncements, encodeWithdrawals, type RouteAttributes, type UpdateForm } from './encode.js';

/** A prefix that this node announces. */
export interface Route {
  readonly prefix: Cidr;
  readonly localPref: number | undefined;
  readonly communities: readonly CommunityValue[];
}

export interface RibForm extends UpdateForm {
  /** Families without one are not announced. */
  readonly nextHops: Readonly<Partial<Record<IpFamily, IpAddress>>>;
}

export class AdjRibOut {
  #wanted: ReadonlyMap<Cidr, Route> = new Map();
  /** Prefix → its attributes as text, as the peer knows them. */
  #told = new Map<Cidr, string>();

  /** Prefixes that the peer knows. */
  get size(): number {
    return this.#told.size;
  }

  want(routes: readonly Route[]): void {
    this.#wanted = new Map(routes.map((route) => [route.prefix, route]));
  }

  /** A new session: the peer knows nothing, or what it keeps of the session before, which it drops at the End of RIB. */
  forget(family?: IpFamily): void {
    for (const prefix of [...this.#told.keys()])
      if (family === undefined || familyOf(prefix) === family) this.#told.delete(prefix);
  }

  /** The messages that make the peer's knowledge right; it counts as told. */
  update(form: RibForm): readonly Uint8Array[] {
    const withdrawn: Record<IpFamily, Cidr[]> = { IPv4: [], IPv6: [] };
    for (const prefix of this.#told.keys()) {
      const family = familyOf(prefix);
      if (this.#wanted.has(prefix) && form.nextHops[family] !== undefined) continue;
      withdrawn[family].push(prefix);
    }
    for (const prefixes of Object.values(withdrawn)) for (const prefix of prefixes) this.#told.delete(prefix);
    const messages = [
      ...encodeWithdrawals(withdrawn.IPv4, 'IPv4'),
      ...encodeWithdrawals(withdrawn.IPv6, 'IPv6'),
    ];
    for (const { prefixes, attributes, family } of this.#changed(form))
      append(messages, encodeAnnouncements(prefixes, attributes, family, form));
    return messages;
  }

  /** Routes of the same attributes go together. */
  #changed({ nextHops }: RibForm) {
    const groups = new Map<string, { prefixes: Cidr[]; attributes: RouteAttributes; family: IpFamily }>();
    for (const { prefix, localPref, communities } of this.#wanted.values()) {
      const family = familyOf(prefix);
      const nextHop = nextHops[family];
      if (nextHop === undefined) continue;
      const attributes = { nextHop, localPref, communities };
      const text = JSON.stringify(attributes);
      if (this.#told.get(prefix) === text) continue;
      this.#told.set(prefix, text);
      const key = `${family} ${text}`;
      const group = groups.get(key) ?? { prefixes: [], attributes, family };
      groups.set(key, group);
      group.prefixes.push(prefix);
    }
    return groups.values();
  }
}
