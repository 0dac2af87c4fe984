/** Follows the first packet of a flow through virtual servers, sets and the constant rules around them. */
import type { IpAddress } from '../../net/ip.js';
import { IptablesTracer } from '../iptables/IptablesTracer.js';
import type { SavedRules } from '../iptables/readSave.js';
import type { PacketFlow, Reach, RuleTracer } from '../Packet.js';
import type { IpSets } from './readIpset.js';
import { type SavedServer, serverKey } from './readIpvsadm.js';

export interface IpvsRules {
  readonly servers: ReadonlyMap<string, SavedServer>;
  readonly sets: IpSets;
  readonly rules: SavedRules;
  readonly isLocal: (address: IpAddress) => boolean;
}

export class IpvsTracer implements RuleTracer {
  readonly #tracer: IptablesTracer;
  readonly #servers: IpvsRules['servers'];

  constructor({ servers, sets, rules, isLocal }: IpvsRules) {
    this.#servers = servers;
    // Every virtual address is on kube-ipvs0, so it is the machine's own.
    const virtual = new Set<string>([...servers.values()].map(({ address }) => address));
    for (const name of sets.names().filter((set) => /^KUBE-(6-)?IPVS-IPS$/.test(set))) {
      for (const address of sets.entries(name)) virtual.add(address);
    }
    this.#tracer = new IptablesTracer(rules, {
      isLocal: (address) => isLocal(address) || virtual.has(address),
      inSet: (set, fields, packet) => sets.has(set, fields, packet),
      balance: ({ flow, destination, port }) => {
        const server = servers.get(serverKey(flow.protocol, destination, port));
        return server && [...server.endpoints];
      },
    });
  }

  trace(flow: PacketFlow): Reach {
    const { verdicts, endpoints } = this.#tracer.trace(flow);
    const sticky =
      this.#servers.get(serverKey(flow.protocol, flow.destination, flow.port))?.persistent === true;
    const scheduled = [...endpoints].map(([target, { masqueraded }]) => {
      return [target, { masqueraded, share: undefined, sticky }] as const;
    });
    return { verdicts, endpoints: new Map(scheduled) };
  }
}
