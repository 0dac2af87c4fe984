/** One IP family of the real kernel: IPVS, ipset, kube-ipvs0 and iptables. */
import { messageOf, PenstockError } from '../../../errors.js';
import type { Ipset } from '../../../kernel/ipset/Ipset.js';
import type { SetChange } from '../../../kernel/ipset/SetChange.js';
import type { Ipvs } from '../../../kernel/ipvs/Ipvs.js';
import type { IpvsChange } from '../../../kernel/ipvs/IpvsChange.js';
import type { RealServerState } from '../../../kernel/ipvs/RealServer.js';
import { type VirtualServerId, virtualServerKey } from '../../../kernel/ipvs/VirtualServer.js';
import type { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import type { XtablesTool } from '../../../kernel/xtables/XtablesTool.js';
import { type IpAddress, type IpFamily, joinHostPort } from '../../../net/ip.js';
import type { IpvsOptions } from '../desired/IpvsSettings.js';
import { entryChange, type SetEntry } from '../desired/SetEntry.js';
import { SET_NAMES, type SetName, setSpec } from '../desired/sets.js';
import type { Present, PresentServer } from '../plan/Present.js';
import { readSavedRules, type SavedRules } from '../rules/planRules.js';
import type { Direction, FamilyKernel, Refusal } from './FamilyKernel.js';
import { ownServers } from './ownership.js';
import type { ServiceLink } from './ServiceLink.js';

export interface KernelFamilyOptions {
  readonly tool: XtablesTool;
  readonly ipvs: Ipvs;
  readonly ipset: Ipset;
  readonly link: ServiceLink;
  readonly excludeCIDRs: IpvsOptions['excludeCIDRs'];
}

export class KernelFamily implements FamilyKernel {
  readonly family: IpFamily;
  readonly #tool: XtablesTool;
  readonly #ipvs: Ipvs;
  readonly #ipset: Ipset;
  readonly #link: ServiceLink;
  readonly #excludeCIDRs: IpvsOptions['excludeCIDRs'];

  constructor({ tool, ipvs, ipset, link, excludeCIDRs }: KernelFamilyOptions) {
    this.family = tool.family;
    this.#tool = tool;
    this.#ipvs = ipvs;
    this.#ipset = ipset;
    this.#link = link;
    this.#excludeCIDRs = excludeCIDRs;
  }

  async prepare(): Promise<void> {
    await this.#link.ensure();
    const changes = SET_NAMES.map(
      (name): SetChange => ({ action: 'create', set: setSpec(name, this.family) }),
    );
    const [refused] = await this.#ipset.commit(changes);
    if (!refused) return;
    const { name } = refused.change.set;
    throw new PenstockError(
      'PENSTOCK_IPSET_REFUSED',
      `set ${name} cannot be made: ${messageOf(refused.error)}`,
      {
        cause: refused.error,
        remedy: `If a set of another type has that name (ipset list ${name}), remove it: ipset destroy ${name}`,
      },
    );
  }

  async read(knownOurs: (key: string) => boolean): Promise<Present> {
    const services = (await this.#ipvs.listServices()).filter(({ family }) => family === this.family);
    const sets = new Map<SetName, ReadonlyMap<string, number | undefined>>();
    for (const name of SET_NAMES) {
      const elements = await this.#ipset.list(setSpec(name, this.family));
      if (elements) sets.set(name, elements);
    }
    const addresses = new Set(await this.#link.addresses(this.family));
    const ours = ownServers(services, sets, { excludeCIDRs: this.#excludeCIDRs }, knownOurs);
    const servers = new Map<string, PresentServer>();
    for (const server of services) {
      const key = virtualServerKey(server);
      const states = ours.has(key) ? await this.#ipvs.listDestinations(server) : [];
      servers.set(key, { server, realServers: new Map(states.map((state) => [targetOf(state), state])) });
    }
    return { servers, ours, sets, addresses };
  }

  async changeServers(changes: readonly IpvsChange[]): Promise<readonly Refusal<IpvsChange>[]> {
    return changes.length === 0 ? [] : this.#ipvs.commit(changes);
  }

  async changeEntries(
    direction: Direction,
    entries: readonly SetEntry[],
  ): Promise<readonly Refusal<SetEntry>[]> {
    if (entries.length === 0) return [];
    const changes = entries.map((entry) => entryChange(direction, entry, this.family));
    const entryOf = new Map(changes.map((change, i) => [change, entries[i]]));
    const refused = await this.#ipset.commit(changes);
    return refused.flatMap(({ change, error }) => {
      const entry = entryOf.get(change);
      return entry ? [{ change: entry, error }] : [];
    });
  }

  async changeAddresses(
    direction: Direction,
    addresses: readonly IpAddress[],
  ): Promise<readonly Refusal<IpAddress>[]> {
    if (addresses.length === 0) return [];
    const isDone = direction === 'add' ? 'EEXIST' : 'EADDRNOTAVAIL';
    const refused = await this.#link.change(direction, addresses);
    return refused.filter(({ error }) => error.code !== isDone);
  }

  async realServers(server: VirtualServerId): Promise<readonly RealServerState[]> {
    return this.#ipvs.listDestinations(server);
  }

  async readRules(): Promise<SavedRules> {
    return readSavedRules(await this.#tool.saveAll());
  }

  async writeRules(input: RestoreInput): Promise<void> {
    await this.#tool.restore(input);
  }
}

function targetOf({ address, port }: RealServerState): string {
  return joinHostPort(address, port);
}
