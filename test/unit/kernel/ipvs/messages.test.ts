import t from 'tap';
import type { IpvsChange } from '../../../../src/kernel/ipvs/IpvsChange.js';
import { putChange } from '../../../../src/kernel/ipvs/messages.js';
import { printChange } from '../../../../src/kernel/ipvs/printChange.js';
import { masqueraded } from '../../../../src/kernel/ipvs/RealServer.js';
import {
  type FirewallMark,
  FULL_NETMASK,
  type VirtualAddress,
  VirtualServerFlag,
  type VirtualServerId,
  type VirtualServerSettings,
} from '../../../../src/kernel/ipvs/VirtualServer.js';
import { GENERIC_HEADER } from '../../../../src/kernel/netlink/genericNetlink.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import type { IpAddress } from '../../../../src/net/ip.js';
import { describeMessage } from '../../../support/describeMessage.js';
import { fromHex } from '../../../support/hex.js';
import { IPVSADM } from './recorded.js';

/** The family's number when it was recorded. */
const FAMILY = 28;

const ip = (text: string) => text as IpAddress;
const WEB: VirtualAddress = { family: 'IPv4', protocol: 'TCP', address: ip('10.0.0.1'), port: 80 };
const DNS: VirtualAddress = { family: 'IPv6', protocol: 'UDP', address: ip('fd00::1'), port: 53 };
const MARK: FirewallMark = { family: 'IPv4', mark: 0x7000_0001 };
const BACKEND = { address: ip('10.0.1.1'), port: 8080 };

function server<Id extends VirtualServerId>(id: Id, settings: Partial<VirtualServerSettings>) {
  return {
    scheduler: 'rr',
    flags: 0,
    timeoutSeconds: 0,
    netmaskBits: FULL_NETMASK[id.family],
    ...id,
    ...settings,
  };
}

const { PERSISTENT, ONE_PACKET, FALLBACK, HASH_PORT } = VirtualServerFlag;

const CHANGES: readonly IpvsChange[] = [
  { action: 'add service', service: server(WEB, {}) },
  {
    action: 'add service',
    service: server(DNS, {
      scheduler: 'mh',
      flags: PERSISTENT | HASH_PORT,
      timeoutSeconds: 10800,
      netmaskBits: 64,
    }),
  },
  {
    action: 'add service',
    service: server({ ...WEB, protocol: 'SCTP' }, { scheduler: 'sh', flags: FALLBACK }),
  },
  { action: 'add service', service: server({ ...WEB, protocol: 'UDP', port: 53 }, { flags: ONE_PACKET }) },
  { action: 'add service', service: server(MARK, { scheduler: 'wlc' }) },
  { action: 'add service', service: server({ ...MARK, family: 'IPv6' }, { scheduler: 'wlc' }) },
  {
    action: 'set service',
    service: server(WEB, { scheduler: 'wrr', flags: PERSISTENT, timeoutSeconds: 77, netmaskBits: 24 }),
  },
  { action: 'delete service', service: WEB },
  { action: 'add destination', service: WEB, destination: masqueraded(BACKEND, 1) },
  {
    action: 'add destination',
    service: DNS,
    destination: {
      ...masqueraded({ address: ip('fd00::2'), port: 53 }, 3),
      upperThreshold: 100,
      lowerThreshold: 50,
    },
  },
  { action: 'add destination', service: MARK, destination: masqueraded(BACKEND, 1) },
  { action: 'set destination', service: WEB, destination: masqueraded(BACKEND, 0) },
  { action: 'delete destination', service: WEB, destination: BACKEND },
];

/**
 * What ipvsadm sends beside what tells a server from others, and we do not: settings of the service (1.6 to 1.9) when
 * only its destinations change, those of a destination (2.3 to 2.6) that is deleted, and tunnels (2.13 to 2.15).
 */
function isSuperfluous(action: IpvsChange['action'], line: string): boolean {
  if (/^2\.1[345] /.test(line)) return true;
  if (/^1\.[6-9] /.test(line)) return action !== 'add service' && action !== 'set service';
  return /^2\.[3-6] /.test(line) && action === 'delete destination';
}

t.test('messages are those of ipvsadm, and so is their text', async (t) => {
  for (const change of CHANGES) {
    const text = printChange(change);
    const recorded = IPVSADM[text];
    if (recorded === undefined) {
      t.fail(`ipvsadm was not asked for ${text}`);
      continue;
    }
    const writer = new MessageWriter();
    putChange(writer, FAMILY, change);
    const theirs = describeMessage(fromHex(recorded), GENERIC_HEADER);
    t.strictSame(
      describeMessage(writer.bytes(), GENERIC_HEADER),
      theirs.filter((line) => !isSuperfluous(change.action, line)),
      text,
    );
  }
  t.strictSame(new Set(CHANGES.map(printChange)), new Set(Object.keys(IPVSADM)), 'all that was recorded');
});

t.test('a scheduler has a name that the kernel can hold', async (t) => {
  for (const scheduler of ['', 'x'.repeat(16)]) {
    const change: IpvsChange = { action: 'add service', service: server(WEB, { scheduler }) };
    t.throws(() => putChange(new MessageWriter(), FAMILY, change), {
      name: 'RangeError',
      message: /scheduler/,
    });
  }
});
