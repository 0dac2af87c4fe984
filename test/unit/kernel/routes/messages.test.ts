import t from 'tap';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { ADDRESS_HEADER, LINK_HEADER } from '../../../../src/kernel/routes/constants.js';
import type { Link } from '../../../../src/kernel/routes/Link.js';
import type { AddressChange, LinkChange } from '../../../../src/kernel/routes/LinkChange.js';
import { putAddressChange, putLinkChange } from '../../../../src/kernel/routes/messages.js';
import { printAddressChange, printLinkChange } from '../../../../src/kernel/routes/printChange.js';
import type { IpAddress } from '../../../../src/net/ip.js';
import { describeMessage } from '../../../support/describeMessage.js';
import { fromHex } from '../../../support/hex.js';
import { IP } from './recorded.js';

const link: Link = { name: 'kube-ipvs0', index: 2, kind: 'dummy', isUp: false };

const LINK_CHANGES: readonly LinkChange[] = [
  { action: 'add dummy', name: link.name },
  { action: 'set up', link },
  { action: 'delete link', link },
];

const ADDRESS_CHANGES = (['10.0.0.1', 'fd00::1'] as IpAddress[]).flatMap((address): AddressChange[] => [
  { action: 'add address', link, address },
  { action: 'delete address', link, address },
]);

/** ip does not mark its one nest (IFLA_LINKINFO, 18) as one; the kernel does not care. */
const describe = (message: Uint8Array, header: number) =>
  describeMessage(message, header).filter((line) => !line.startsWith('18'));
const LINK_INFO = '18 = 0900010064756d6d79000000';
const OUR_LINK_INFO = ['18', '18.1 = 64756d6d79'];

t.test('messages are those of ip, and so is their text', async (t) => {
  for (const change of LINK_CHANGES) {
    const text = printLinkChange(change);
    const writer = new MessageWriter();
    putLinkChange(writer, change);
    t.strictSame(describe(writer.bytes(), LINK_HEADER), describe(fromHex(IP[text] ?? ''), LINK_HEADER), text);
  }
  for (const change of ADDRESS_CHANGES) {
    const text = printAddressChange(change);
    const writer = new MessageWriter();
    putAddressChange(writer, change);
    const theirs = describe(fromHex(IP[text] ?? ''), ADDRESS_HEADER);
    t.strictSame(describe(writer.bytes(), ADDRESS_HEADER), theirs, text);
  }
  const texts = [...LINK_CHANGES.map(printLinkChange), ...ADDRESS_CHANGES.map(printAddressChange)];
  t.strictSame(new Set(texts), new Set(Object.keys(IP)), 'all that was recorded');
});

t.test('the kind of a new link', async (t) => {
  const writer = new MessageWriter();
  putLinkChange(writer, { action: 'add dummy', name: link.name });
  const ours = describeMessage(writer.bytes(), LINK_HEADER);
  t.strictSame(ours.slice(-2), OUR_LINK_INFO);
  const theirs = describeMessage(fromHex(IP['link add kube-ipvs0 type dummy'] ?? ''), LINK_HEADER);
  t.equal(theirs.at(-1), LINK_INFO);
});

t.test('a link has a name that the kernel can hold', async (t) => {
  for (const name of ['', 'x'.repeat(16)]) {
    t.throws(() => putLinkChange(new MessageWriter(), { action: 'add dummy', name }), { name: 'RangeError' });
  }
});
