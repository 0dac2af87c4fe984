/** A change in ipvsadm's words: a line of what `ipvsadm -R` takes and `ipvsadm -Sn` prints. */
import { joinHostPort } from '../../net/ip.js';
import type { IpvsChange } from './IpvsChange.js';
import type { Forwarding, RealServer } from './RealServer.js';
import {
  FULL_NETMASK,
  type IpvsProtocol,
  type VirtualServer,
  VirtualServerFlag,
  type VirtualServerId,
} from './VirtualServer.js';

const PROTOCOL_OPTION: Readonly<Record<IpvsProtocol, string>> = {
  TCP: '-t',
  UDP: '-u',
  SCTP: '--sctp-service',
};

/** ipvsadm can neither ask for `local` nor `bypass`; the kernel chooses them. */
const FORWARDING_OPTION: Readonly<Record<Forwarding, string>> = {
  masquerade: '-m',
  tunnel: '-i',
  route: '-g',
  local: '-g',
  bypass: '-g',
};

/** Without a line feed. */
export function printChange(change: IpvsChange): string {
  const service = printId(change.service);
  switch (change.action) {
    case 'add service':
      return `-A ${service} ${printSettings(change.service)}`;
    case 'set service':
      return `-E ${service} ${printSettings(change.service)}`;
    case 'delete service':
      return `-D ${service}`;
    case 'add destination':
      return `-a ${service} ${printDestination(change.destination)}`;
    case 'set destination':
      return `-e ${service} ${printDestination(change.destination)}`;
    case 'delete destination':
      return `-d ${service} -r ${joinHostPort(change.destination.address, change.destination.port)}`;
  }
}

function printId(id: VirtualServerId): string {
  if ('mark' in id) return `-f ${id.mark}${id.family === 'IPv6' ? ' -6' : ''}`;
  return `${PROTOCOL_OPTION[id.protocol]} ${joinHostPort(id.address, id.port)}`;
}

function printSettings({ family, scheduler, flags, timeoutSeconds, netmaskBits }: VirtualServer): string {
  let text = `-s ${scheduler}`;
  if ((flags & VirtualServerFlag.PERSISTENT) !== 0) {
    text += ` -p ${timeoutSeconds}`;
    if (netmaskBits !== FULL_NETMASK[family])
      text += ` -M ${family === 'IPv4' ? dottedMask(netmaskBits) : netmaskBits}`;
  }
  if ((flags & VirtualServerFlag.ONE_PACKET) !== 0) text += ' -o';
  const named = scheduler === 'sh' || scheduler === 'mh';
  const schedulerFlags = [
    ...((flags & VirtualServerFlag.FALLBACK) !== 0 ? [named ? `${scheduler}-fallback` : 'flag-1'] : []),
    ...((flags & VirtualServerFlag.HASH_PORT) !== 0 ? [named ? `${scheduler}-port` : 'flag-2'] : []),
  ];
  return schedulerFlags.length > 0 ? `${text} -b ${schedulerFlags.join(',')}` : text;
}

function printDestination(destination: RealServer): string {
  const { address, port, weight, forwarding, upperThreshold, lowerThreshold } = destination;
  let text = `-r ${joinHostPort(address, port)} ${FORWARDING_OPTION[forwarding]} -w ${weight}`;
  if (upperThreshold !== 0) text += ` -x ${upperThreshold}`;
  if (lowerThreshold !== 0) text += ` -y ${lowerThreshold}`;
  return text;
}

/** `255.255.255.0` for 24. */
function dottedMask(bits: number): string {
  const mask = bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 255).join('.');
}
