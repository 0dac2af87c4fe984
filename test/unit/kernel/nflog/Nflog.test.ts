/** Packets of nfnetlink_log: headers of both families, and whatever else may be in them. */
import fc from 'fast-check';
import t from 'tap';
import { NetfilterSubsystem } from '../../../../src/kernel/netlink/constants.js';
import { type Message, parseMessages } from '../../../../src/kernel/netlink/Message.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { beginNetfilterRequest, netfilterType } from '../../../../src/kernel/netlink/nfnetlink.js';
import { decodePacket } from '../../../../src/kernel/nflog/Nflog.js';
import { fromHex } from '../../../support/hex.js';

function messageWith(payload: Uint8Array, words = 'no-endpoints'): Message {
  const writer = new MessageWriter(256);
  beginNetfilterRequest(writer, netfilterType(NetfilterSubsystem.LOG, 0), 71);
  writer.string(10, words);
  writer.raw(9, payload);
  writer.u32be(12, 7);
  writer.endMessage();
  const [message] = parseMessages(writer.bytes()).messages;
  if (!message) throw new Error('a message was written');
  return message;
}

const IPV4 = '4500003c1234400040060000c0a84d01ac1e000b';
const TCP = 'd4310050000000000000000080020000';
const IPV6 = '6000000000141140fd000001000000000000000000000002fd000096000000000000000000000001';
const UDP = 'd431003500140000';

t.test('headers of TCP over IPv4 and UDP over IPv6', async (t) => {
  t.same(decodePacket(messageWith(fromHex(IPV4 + TCP))), {
    words: 'no-endpoints',
    sequence: 7,
    protocol: 'TCP',
    source: '192.168.77.1',
    sourcePort: 54_321,
    destination: '172.30.0.11',
    destinationPort: 80,
  });
  t.match(decodePacket(messageWith(fromHex(IPV6 + UDP), 'source-range')), {
    words: 'source-range',
    protocol: 'UDP',
    source: 'fd00:1::2',
    destination: 'fd00:96::1',
    destinationPort: 53,
  });
  // Options between the header and the ports.
  t.equal(decodePacket(messageWith(fromHex(`46${IPV4.slice(2)}01010101${TCP}`)))?.destinationPort, 80);
});

t.test('what has no ports is no packet of ours', async (t) => {
  t.equal(decodePacket(messageWith(fromHex(IPV4.replace('4006', '4001') + TCP))), undefined, 'ICMP');
  t.equal(decodePacket(messageWith(fromHex(IPV4))), undefined, 'cut after the header');
  t.equal(decodePacket(messageWith(new Uint8Array())), undefined, 'empty');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 90 }), (bytes) => {
      const packet = decodePacket(messageWith(bytes));
      return packet === undefined || (packet.destinationPort >= 0 && packet.destinationPort < 65_536);
    }),
  );
});
