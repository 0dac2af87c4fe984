/** The link kube-ipvs0, whose addresses make the VIPs local: IPVS sees only packets that are for the host itself. */
import { PenstockError } from '../../../errors.js';
import type { NetlinkChannel } from '../../../kernel/netlink/NetlinkChannel.js';
import { Addresses } from '../../../kernel/routes/Addresses.js';
import { SERVICE_LINK } from '../../../kernel/routes/constants.js';
import type { Link } from '../../../kernel/routes/Link.js';
import { Links } from '../../../kernel/routes/Links.js';
import { setLocalSources } from '../../../kernel/routes/localSources.js';
import type { IpAddress, IpFamily } from '../../../net/ip.js';
import type { Direction, Refusal } from './FamilyKernel.js';

const LINK_LOCAL = 'fe80:';

export class ServiceLink {
  readonly #channel: NetlinkChannel;
  readonly #links: Links;
  readonly #addresses: Addresses;
  readonly #onIndex: (index: number) => void;
  #link: Link | undefined;

  /** `channel` is of NetlinkProtocol.ROUTE. `onIndex` hears the link's index whenever it is another one. */
  constructor(channel: NetlinkChannel, onIndex: (index: number) => void) {
    this.#channel = channel;
    this.#links = new Links(channel);
    this.#addresses = new Addresses(channel);
    this.#onIndex = onIndex;
  }

  /** Says the link's index, if there is one from before. */
  async announce(): Promise<void> {
    this.#know(await this.#find());
  }

  /** Makes it when it is missing; it stays down, as kube-proxy's. Rejects with PENSTOCK_LINK_FOREIGN. */
  async ensure(): Promise<void> {
    let link = await this.#find();
    if (!link) {
      const [refused] = await this.#links.commit([{ action: 'add dummy', name: SERVICE_LINK }]);
      // Somebody else may have been quicker.
      if (refused && refused.error.code !== 'EEXIST') throw refused.error;
      link = await this.#find();
    }
    this.#know(link);
  }

  /** None when there is no link. */
  async addresses(family: IpFamily): Promise<readonly IpAddress[]> {
    const link = await this.#find();
    if (!link) return [];
    const all = await this.#addresses.list(link, family);
    return all.filter((address) => !address.startsWith(LINK_LOCAL));
  }

  async change(
    direction: Direction,
    addresses: readonly IpAddress[],
  ): Promise<readonly Refusal<IpAddress>[]> {
    const link = this.#link;
    if (!link) return [];
    const action = direction === 'add' ? 'add address' : 'delete address';
    const refused = await this.#addresses.commit(addresses.map((address) => ({ action, link, address })));
    return refused.map(({ change, error }) => ({ change: change.address, error }));
  }

  /**
   * New connections of the host to these addresses come from `source`, an IPv4 address that will still be there when the
   * link is gone.
   */
  async connectFrom(source: IpAddress): Promise<void> {
    const link = await this.#find();
    if (!link) return;
    const addresses = await this.addresses('IPv4');
    // An address that somebody removed meanwhile has no route: nobody connects from it either.
    await setLocalSources(
      this.#channel,
      addresses.map((address) => ({ address, link, source })),
    );
  }

  /** With all its addresses. False when there was none. */
  async delete(what: 'plan' | 'remove'): Promise<boolean> {
    const link = await this.#find();
    if (!link) return false;
    if (what === 'plan') return true;
    const [refused] = await this.#links.commit([{ action: 'delete link', link }]);
    if (refused && refused.error.code !== 'ENODEV') throw refused.error;
    return true;
  }

  #know(link: Link | undefined): void {
    if (link && link.index !== this.#link?.index) this.#onIndex(link.index);
    this.#link = link;
  }

  async #find(): Promise<Link | undefined> {
    const link = await this.#links.find(SERVICE_LINK);
    if (!link || link.kind === 'dummy') return link;
    throw new PenstockError(
      'PENSTOCK_LINK_FOREIGN',
      `${SERVICE_LINK} is a link of kind ${link.kind ?? 'hardware'}, it must be a dummy`,
      { remedy: `Give that link another name: ip link set ${SERVICE_LINK} name NAME.` },
    );
  }
}
