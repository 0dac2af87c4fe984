/** What rules of every kind ask of addresses and names. */
import { type Cidr, cidrContains, type IpAddress, ipToBytes, parseCidr, parseIp } from '../net/ip.js';

/** `10.0.0.0/8`, `10.0.0.1`; undefined when the text is neither. */
export function addressTest(text: string): ((address: IpAddress) => boolean) | undefined {
  const ip = parseIp(text);
  if (ip !== undefined) return (address) => address === ip;
  const cidr: Cidr | undefined = parseCidr(text);
  if (cidr !== undefined) {
    const known = new Map<IpAddress, boolean>();
    return (address) => {
      let found = known.get(address);
      if (found === undefined) {
        found = cidrContains(cidr, address);
        known.set(address, found);
      }
      return found;
    };
  }
  const [low, high] = text.split('-').map((part) => parseIp(part));
  if (low === undefined || high === undefined) return undefined;
  return (address) => address.includes(':') === low.includes(':') && ordered(low, address, high);
}

function ordered(...addresses: readonly IpAddress[]): boolean {
  const texts = addresses.map((a) => String.fromCharCode(...ipToBytes(a)));
  return texts.every((text, i) => i === 0 || (texts[i - 1] ?? '') <= text);
}

/** `eth+`, `eth*`: a name that begins so. */
export function interfaceMatches(pattern: string, name: string): boolean {
  return /[+*]$/.test(pattern) ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
