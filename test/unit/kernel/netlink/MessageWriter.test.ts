import t from 'tap';
import { MAX_ATTRIBUTE, MessageFlag, NetfilterSubsystem } from '../../../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import {
  beginNetfilterMessage,
  beginTransaction,
  endTransaction,
} from '../../../../src/kernel/netlink/nfnetlink.js';
import { setSequences } from '../../../../src/kernel/netlink/sequences.js';
import { fromHex, toHex } from '../../../support/hex.js';
import { IP_LINK_ADD, NFACCT_ADD, NFT_TRANSACTION } from './recorded.js';

/** A writer too small for anything, so that every test also grows it. */
const tinyWriter = () => new MessageWriter(1);

t.test('writes what nft sends', async (t) => {
  const writer = tinyWriter();
  const IPV4 = 2;
  const CREATE = MessageFlag.CREATE;
  beginTransaction(writer, NetfilterSubsystem.NFTABLES);
  beginNetfilterMessage(writer, 0x0a00, 0, IPV4);
  writer.string(1, 'penstock');
  writer.u32be(2, 0);
  writer.endMessage();

  beginNetfilterMessage(writer, 0x0a09, CREATE, IPV4);
  writer.string(1, 'penstock');
  writer.string(2, 'endpoints');
  writer.u32be(3, 8);
  writer.u32be(4, 0x730d);
  writer.u32be(5, 12);
  writer.u32be(6, 0x1cd);
  writer.u32be(7, 8);
  writer.u32be(10, 1);
  const description = writer.openNest(9);
  writer.u32be(1, 128);
  writer.closeNest(description);
  writer.raw(13, fromHex('000400000000010400000000030800040d0000000100040800040d0000000100060400000000'));
  writer.endMessage();

  beginNetfilterMessage(writer, 0x0a0c, CREATE, IPV4);
  writer.string(1, 'penstock');
  writer.string(2, 'endpoints');
  writer.u32be(4, 1);
  const elements = writer.openNest(3);
  const element = writer.openNest(1);
  const key = writer.openNest(1);
  writer.raw(1, fromHex('0a000001 06000000 00500000'));
  writer.closeNest(key);
  const data = writer.openNest(2);
  writer.raw(1, fromHex('0af40005 1f900000'));
  writer.closeNest(data);
  writer.closeNest(element);
  writer.closeNest(elements);
  writer.endMessage();
  t.equal(writer.messageCount, 4);

  writer.beginMessage(0x11);
  writer.putU8(0);
  writer.putU8(0);
  writer.putU16be(NetfilterSubsystem.NFTABLES);
  writer.endMessage();
  t.equal(setSequences(writer.bytes(), 0), -1, 'nothing asks for an answer, as with nft');
  t.equal(toHex(writer.bytes()), toHex(NFT_TRANSACTION));
});

t.test('writes what nfacct and ip send', async (t) => {
  const nfacct = tinyWriter();
  beginNetfilterMessage(nfacct, 0x0700, MessageFlag.CREATE | MessageFlag.ACK);
  nfacct.string(1, 'penstock_test');
  nfacct.u64be(2, 0);
  nfacct.u64be(3, 0);
  nfacct.endMessage();
  t.equal(setSequences(nfacct.bytes(), 0x6b038137), 0);
  t.equal(toHex(nfacct.bytes()), toHex(NFACCT_ADD));

  // ip does not set NLA_F_NESTED and ends link kind without a NUL, so its nests are compared without that bit.
  const ip = tinyWriter();
  ip.beginMessage(0x10, MessageFlag.ACK | MessageFlag.CREATE | MessageFlag.EXCLUSIVE);
  ip.putBytes(new Uint8Array(8));
  ip.putU32(0);
  ip.putU16(0);
  ip.putU16(0);
  ip.string(3, 'v0');
  const info = ip.openNest(18);
  ip.raw(1, new TextEncoder().encode('veth'));
  const infoData = ip.openNest(2);
  const peer = ip.openNest(1);
  ip.putBytes(new Uint8Array(16));
  ip.string(3, 'v1');
  ip.closeNest(peer);
  ip.closeNest(infoData);
  ip.closeNest(info);
  ip.endMessage();
  setSequences(ip.bytes(), 0x6b038139);
  const bytes = ip.bytes();
  for (const place of [info, infoData, peer]) bytes[place + 3] = 0;
  t.equal(toHex(bytes), toHex(IP_LINK_ADD));
});

t.test('each kind of attribute', async (t) => {
  const cases: readonly (readonly [string, (writer: MessageWriter) => void, string])[] = [
    ['flag', (w) => w.flag(1), '04000100'],
    ['u8', (w) => w.u8(2, 0xab), '05000200 ab000000'],
    ['u16', (w) => w.u16(3, 0x1234), '06000300 34120000'],
    ['u16be', (w) => w.u16be(3, 0x1234), '06000300 12340000'],
    ['u32', (w) => w.u32(4, 0xfedcba98), '08000400 98badcfe'],
    ['u32be', (w) => w.u32be(4, 0xfedcba98), '08000400 fedcba98'],
    ['u64be', (w) => w.u64be(5, 0x1f_ffff_ffff_ffff), '0c000500 001fffffffffffff'],
    ['u64be above 2^32', (w) => w.u64be(5, 0x1_8000_0000), '0c000500 0000000180000000'],
    ['empty string', (w) => w.string(6, ''), '05000600 00000000'],
    ['string that needs no padding', (w) => w.string(6, 'abc'), '08000600 61626300'],
    ['string that needs three bytes of it', (w) => w.string(6, 'abcd'), '09000600 6162636400000000'],
    ['string beyond ASCII', (w) => w.string(6, 'ä€'), '0a000600 c3a4e282ac000000'],
    ['raw', (w) => w.raw(7, Uint8Array.of(1, 2, 3, 4, 5)), '09000700 0102030405000000'],
    ['no bytes', (w) => w.raw(7, new Uint8Array()), '04000700'],
    ['empty nest', (w) => w.closeNest(w.openNest(8)), '04000880'],
  ];
  for (const [name, write, expected] of cases) {
    const writer = new MessageWriter(64);
    // Old content must not show through.
    writer.putBytes(new Uint8Array(64).fill(0xff));
    writer.clear();
    write(writer);
    t.equal(toHex(writer.bytes()), expected.replaceAll(' ', ''), name);
    const small = tinyWriter();
    write(small);
    t.equal(toHex(small.bytes()), expected.replaceAll(' ', ''), `${name}, growing`);
  }
});

t.test('an attribute has at most 65535 bytes', async (t) => {
  const writer = new MessageWriter();
  t.doesNotThrow(() => writer.raw(1, new Uint8Array(MAX_ATTRIBUTE - 4)));
  t.throws(() => writer.raw(1, new Uint8Array(MAX_ATTRIBUTE - 3)), {
    name: 'RangeError',
    message: /65536 bytes/,
  });
  t.throws(() => writer.string(1, 'x'.repeat(MAX_ATTRIBUTE)), RangeError);
  const full = new MessageWriter();
  const place = full.openNest(1);
  for (let i = 0; i < 8191; i++) full.u32(1, i);
  t.equal(full.length - place, 65532, 'the caller sees how full it is');
  t.doesNotThrow(() => full.closeNest(place));
  full.u32(1, 0);
  t.throws(() => full.closeNest(place), RangeError);
});

t.test('a transaction asks for one answer, of the last message before its end', async (t) => {
  const writer = new MessageWriter();
  beginTransaction(writer, NetfilterSubsystem.NFTABLES, 7);
  for (const type of [0x0a00, 0x0a03]) {
    beginNetfilterMessage(writer, type);
    writer.endMessage();
  }
  endTransaction(writer, NetfilterSubsystem.NFTABLES);
  t.equal(writer.messageCount, 4);
  t.equal(setSequences(writer.bytes(), 100), 2);
  const begin = '1c000000 10000100 64000000 00000000 0000000a 08000100 00000007'.replaceAll(' ', '');
  t.equal(toHex(writer.bytes().subarray(0, 28)), begin, 'the generation it rests on');
});

t.test('misuse', async (t) => {
  const writer = new MessageWriter();
  t.throws(() => writer.addFlags(MessageFlag.ACK), RangeError);
  writer.beginMessage(1);
  t.throws(() => setSequences(writer.bytes(), 1), { message: /message 0 was not ended/ });
});
