import t from 'tap';
import { NEWEST_PROTOCOL, NEWEST_REVISION } from '../../../../src/kernel/ipset/constants.js';
import { putChange, type Versions } from '../../../../src/kernel/ipset/messages.js';
import { printChange } from '../../../../src/kernel/ipset/printChange.js';
import type { SetChange } from '../../../../src/kernel/ipset/SetChange.js';
import type { SetSpec, SetType } from '../../../../src/kernel/ipset/SetSpec.js';
import { NETFILTER_HEADER } from '../../../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { describeMessage } from '../../../support/describeMessage.js';
import { fromHex } from '../../../support/hex.js';
import { IPSET } from './recorded.js';

const VERSIONS: Versions = { protocol: NEWEST_PROTOCOL, revision: (set) => NEWEST_REVISION[set.type] };

const set = (name: string, type: SetType): SetSpec => ({ name, type, family: 'IPv4' });
const A = set('A', 'hash:ip,port');
const A6: SetSpec = { ...A, name: 'A6', family: 'IPv6' };
const B = set('B', 'hash:ip,port,ip');
const C = set('C', 'hash:ip,port,net');
const D = set('D', 'hash:ip');
const P = set('P', 'bitmap:port');
const M: SetSpec = { ...A, name: 'M', extension: 'mark' };

const CHANGES: readonly SetChange[] = [
  ...[A, A6, B, C, D, P, M].map((set): SetChange => ({ action: 'create', set })),
  { action: 'add', set: A, element: '10.0.0.1,tcp:80' },
  { action: 'add', set: A6, element: 'fd00::1,sctp:80' },
  { action: 'add', set: B, element: '10.0.0.1,tcp:80,10.0.0.2' },
  { action: 'add', set: C, element: '10.0.0.1,udp:80,10.1.0.0/16' },
  { action: 'add', set: C, element: '10.0.0.1,udp:80,10.1.0.1' },
  { action: 'add', set: D, element: '10.0.0.1' },
  { action: 'add', set: P, element: '80' },
  { action: 'add', set: M, element: '10.0.0.1,tcp:80', mark: 0x7000_0001 },
  { action: 'delete', set: A, element: '10.0.0.1,tcp:80' },
  { action: 'delete', set: M, element: '10.0.0.1,tcp:80' },
  { action: 'flush', set: A },
  { action: 'destroy', set: A },
];

/** The line of the restore file that an element stands in, inside CommandAttribute.DATA. */
const LINE_NUMBER = /^7\.\d+ = 00000000$/;

t.test('messages are those of ipset, and so is their text', async (t) => {
  for (const change of CHANGES) {
    const text = printChange(change);
    const recorded = IPSET[text];
    if (recorded === undefined) {
      t.fail(`ipset was not asked for ${text}`);
      continue;
    }
    const writer = new MessageWriter();
    putChange(writer, VERSIONS, change);
    const theirs = describeMessage(fromHex(recorded), NETFILTER_HEADER);
    const isElement = change.action === 'add' || change.action === 'delete';
    t.strictSame(
      describeMessage(writer.bytes(), NETFILTER_HEADER),
      theirs.filter((line) => !(isElement && LINE_NUMBER.test(line))),
      text,
    );
  }
  t.strictSame(new Set(CHANGES.map(printChange)), new Set(Object.keys(IPSET)), 'all that was recorded');
});

t.test('names and elements that make no sense', async (t) => {
  const wrong: readonly SetChange[] = [
    { action: 'flush', set: { name: '' } },
    { action: 'flush', set: { name: 'x'.repeat(32) } },
    { action: 'add', set: A, element: '10.0.0.1' },
    { action: 'add', set: A, element: '10.0.0.1,icmp:80' },
    { action: 'add', set: A, element: '10.0.0.1,tcp:65536' },
    { action: 'add', set: A, element: '10.0.0,tcp:80' },
    { action: 'add', set: B, element: '10.0.0.1,tcp:80' },
    { action: 'add', set: C, element: '10.0.0.1,tcp:80,10.0.0.1/8' },
    { action: 'add', set: P, element: '' },
    { action: 'delete', set: P, element: 'http' },
  ];
  for (const change of wrong) {
    t.throws(
      () => putChange(new MessageWriter(), VERSIONS, change),
      { name: 'RangeError' },
      printChange(change),
    );
  }
});
