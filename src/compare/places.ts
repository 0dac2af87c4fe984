/** The addresses and ports that somebody's rules speak of, with the names they give them. */
import { type IpAddress, parseIp } from '../net/ip.js';
import type { Protocol } from '../objects/Service.js';
import type { RulePlace } from './compareRules.js';
import type { SavedRules } from './iptables/readSave.js';
import { splitWords } from './iptables/splitWords.js';
import type { SavedServer } from './ipvs/readIpvsadm.js';
import type { NftTable } from './nft/Ruleset.js';

const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map([
  ['tcp', 'TCP'],
  ['udp', 'UDP'],
  ['sctp', 'SCTP'],
]);

/** Rules with one destination address and one port in chains of kube-proxy; a node port is one at each of `nodeAddresses`. */
export function placesOfIptables({ chains }: SavedRules, nodeAddresses: readonly IpAddress[]): RulePlace[] {
  const places: RulePlace[] = [];
  for (const [key, rules] of chains) {
    if (!/^\w+ (KUBE-SERVICES|KUBE-EXTERNAL-SERVICES|KUBE-NODEPORTS)$/.test(key)) continue;
    for (const rule of rules) {
      const words = splitWords(rule);
      const after = (word: string) => (words.includes(word) ? words[words.indexOf(word) + 1] : undefined);
      const protocol = PROTOCOLS.get(after('-p') ?? '');
      const port = Number(after('--dport'));
      if (protocol === undefined || !(port > 0)) continue;
      const destination = parseIp((after('-d') ?? '').replace(/\/(32|128)$/, ''));
      const name = /^(\S+)/.exec(after('--comment') ?? '')?.[1] ?? 'a rule without a name';
      const addresses =
        destination === undefined && key.includes('NODEPORTS') ? nodeAddresses : [destination];
      for (const address of addresses)
        if (address !== undefined) places.push({ address, port, protocol, name });
    }
  }
  return distinct(places);
}

export function placesOfNft(tables: readonly NftTable[], nodeAddresses: readonly IpAddress[]): RulePlace[] {
  const places: RulePlace[] = [];
  for (const { name: table, family, sets } of tables) {
    if (table !== 'kube-proxy') continue;
    const ofFamily = nodeAddresses.filter((address) => address.includes(':') === (family === 'ip6'));
    for (const [set, { exact, comments }] of sets) {
      for (const [key, value] of exact) {
        const fields = key.split(' . ');
        const name = comments.get(key) ?? nameOfChain(value.at(-1) ?? '');
        const add = (address: IpAddress | undefined, protocol = '', port = '') => {
          const known = PROTOCOLS.get(protocol);
          if (address !== undefined && known)
            places.push({ address, port: Number(port), protocol: known, name });
        };
        if (/^(service-ips|no-endpoint-services|firewall-ips)$/.test(set)) {
          add(parseIp(fields[0] ?? ''), fields[1], fields[2]);
        } else if (/^(service-nodeports|no-endpoint-nodeports)$/.test(set)) {
          for (const address of ofFamily) add(address, fields[0], fields[1]);
        }
      }
    }
  }
  return distinct(places);
}

/** `service-KCLVJQRD-golden/s01/tcp/web` → golden/s01:web. */
function nameOfChain(chain: string): string {
  const [, path, port] = /^[a-z]+-[A-Z0-9]{8}-([^/]+\/[^/]+)\/[a-z]+\/(.*)$/.exec(chain) ?? [];
  if (path === undefined) return 'a service port without a name';
  return port === '' || port === undefined ? path : `${path}:${port}`;
}

export function placesOfIpvs(servers: ReadonlyMap<string, SavedServer>): RulePlace[] {
  return [...servers.values()].map(({ address, port, protocol }) => ({
    address,
    port,
    protocol,
    name: 'a virtual server',
  }));
}

function distinct(places: readonly RulePlace[]): RulePlace[] {
  const byKey = new Map(places.map((place) => [`${place.protocol} ${place.address} ${place.port}`, place]));
  return [...byKey.values()];
}
