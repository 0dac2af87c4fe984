/** The machine that answers for addresses: frames in, frames out. Bytes as Linux and arping send them. */
import fc from 'fast-check';
import t from 'tap';
import { encodeOrders } from '../../../../src/balancer/layer2/orders.js';
import { AnnounceEventKind } from '../../../../src/kernel/addon/NativeResponder.js';
import {
  arp,
  framesOf,
  INTERFACE,
  kindsOf,
  macOfNode,
  openAmong,
  openModel,
  STRANGER,
  V4,
} from '../../../support/balancer/modelLan.js';
import { ip } from '../../../support/builders.js';
import { fromHex, toHex } from '../../../support/hex.js';

const V6 = ip('2001:db8::100');
const PAD = '00'.repeat(18);

const mac = (i: number) => toHex(macOfNode(i));
const announcement = (i: number) => arp(2, mac(i), V4, V4);

t.test('probe, announcements and answers of IPv4', async (t) => {
  const { model, claim } = openAmong();
  claim();
  model.advance(0);
  t.same(framesOf(model).map(toHex), [
    `ffffffffffff0200000000010806000108000604000102000000000100000000000000000000c0000264${PAD}`,
  ]);
  model.advance(99);
  t.same(framesOf(model), [], 'an answer may still come');
  model.advance(100);
  t.same(framesOf(model).map(toHex), [
    `ffffffffffff02000000000108060001080006040001020000000001c0000264000000000000c0000264${PAD}`,
    `ffffffffffff02000000000108060001080006040002020000000001c0000264ffffffffffffc0000264${PAD}`,
  ]);
  t.same(kindsOf(model.takeEvents()), [AnnounceEventKind.claimed]);
  model.frame(INTERFACE, arp(1, STRANGER, '192.0.2.9', V4), 200, 0);
  t.same(framesOf(model).map(toHex), [
    `${STRANGER}02000000000108060001080006040002020000000001c0000264${STRANGER}c0000209${PAD}`,
  ]);
  model.frame(INTERFACE, arp(1, STRANGER, '192.0.2.9', '192.0.2.101'), 200, 0);
  t.same(framesOf(model), [], 'somebody else is asked');
});

t.test('announcements are repeated for five seconds, then once a minute', async (t) => {
  const { model, own } = openAmong();
  own();
  const at: number[] = [];
  for (let now = 100; now <= 130_000; now += 100) {
    model.advance(now);
    if (framesOf(model).length > 0) at.push(now);
  }
  t.same(at, [1200, 2300, 3400, 4500, 64_500, 124_500]);
});

t.test('the forms of IPv6', async (t) => {
  const { model, claim } = openAmong(V6);
  claim();
  model.advance(0);
  const probe = framesOf(model).map(toHex)[0] as string;
  t.match(
    probe,
    /^3333ff00010002000000000186dd6000000000183aff0{32}ff0200000000000000000001ff0001008700[0-9a-f]{4}0{8}20010db80{20}0100$/,
  );
  model.advance(100);
  const announced = framesOf(model).map(toHex);
  t.equal(announced.length, 1);
  const rest = '20010db8000000000000000000000100' + '0201' + '020000000001';
  const head = '33330000000102000000000186dd6000000000203aff20010db8000000000000000000000100';
  const allNodes = 'ff020000000000000000000000000001';
  t.match(announced[0], new RegExp(`^${head}${allNodes}8800[0-9a-f]{4}20000000${rest}$`));
  // The probe of another is answered to all; a solicitation to who asked.
  const other = openModel('x', 9, []);
  other.run(
    encodeOrders([
      { command: 'claim', interface: INTERFACE, address: V6, giveWay: 'to all', probes: 1, intervalMs: 100 },
    ]),
    0,
  );
  other.advance(0);
  model.frame(INTERFACE, framesOf(other)[0] as Uint8Array, 200, 0);
  t.match(toHex(framesOf(model)[0] as Uint8Array), /^333300000001.*20000000/);
  // From 2001:db8::9 as Linux sends it.
  const solicitation = fromHex(
    '3333ff0001000200000000ee86dd6000000000203aff20010db8000000000000000000000009ff0200000000000000000001ff000100' +
      '8700000000000000' +
      '20010db8000000000000000000000100' +
      '01010200000000ee',
  );
  setChecksum(solicitation);
  model.frame(INTERFACE, solicitation, 300, 0);
  t.match(
    toHex(framesOf(model)[0] as Uint8Array),
    new RegExp(
      `^0200000000ee02000000000186dd6000000000203aff20010db800000000000000000000010020010db80000000000000000000000098800[0-9a-f]{4}60000000${rest}$`,
    ),
  );
  for (const [what, at, value] of [
    ['a wrong checksum', 56, 0xff],
    ['a hop limit that is not 255', 21, 64],
    ['an option of length 0', 79, 0],
  ] as const) {
    const broken = solicitation.slice();
    broken[at] = value;
    if (at !== 56) setChecksum(broken);
    model.frame(INTERFACE, broken, 400, 0);
    t.same(framesOf(model), [], what);
  }
});

t.test('who hears a peer that comes first, yields; others are told again', async (t) => {
  const { model, own, state } = openAmong();
  own();
  model.frame(INTERFACE, announcement(3), 500, 0);
  t.same(kindsOf(model.takeEvents()), [AnnounceEventKind.defended]);
  model.advance(500);
  t.equal(framesOf(model).length, 2);
  t.equal(state(), 2);
  model.frame(INTERFACE, announcement(2), 600, 0);
  t.match(model.takeEvents(), [{ kind: AnnounceEventKind.yielded }]);
  t.equal(state(), 0);
  model.frame(INTERFACE, arp(1, STRANGER, '192.0.2.9', V4), 700, 0);
  t.same(framesOf(model), [], 'no answer any more');
});

t.test('who announces again and again does not put off the defence', async (t) => {
  const { model, own, state } = openAmong();
  own();
  let defences = 0;
  for (let now = 500; now < 2000; now += 10) {
    model.frame(INTERFACE, announcement(3), now, 0);
    model.advance(now);
    defences += framesOf(model).length / 2;
  }
  t.equal(defences, 6, 'each 250 ms');
  t.equal(state(), 2);
});

t.test('whose Lease may have run out yields to any peer, and to no stranger', async (t) => {
  const { model, own, state } = openAmong();
  own();
  model.setFreshUntil(1000);
  model.frame(INTERFACE, announcement(3), 999, 0);
  t.equal(state(), 2);
  model.frame(INTERFACE, arp(2, STRANGER, V4, V4), 1500, 0);
  t.equal(state(), 2);
  t.match(model.takeEvents().at(-1), { kind: AnnounceEventKind.conflict, value: 0 });
  model.frame(INTERFACE, announcement(3), 1600, 0);
  t.equal(state(), 0);
});

t.test('whom a claim gives way to', async (t) => {
  for (const [giveWay, peer, ends] of [
    ['to nobody', 2, false],
    ['to nobody', 3, false],
    ['to first', 2, true],
    ['to first', 3, false],
    ['to all', 2, true],
    ['to all', 3, true],
  ] as const) {
    const { model, claim, state } = openAmong();
    claim(giveWay);
    model.advance(0);
    model.frame(INTERFACE, announcement(peer), 50, 0);
    t.equal(state(), ends ? 0 : 1, `${giveWay}, ${peer === 2 ? 'who comes before' : 'who comes after'}`);
  }
  const { model, claim, state } = openAmong();
  claim('to nobody');
  model.advance(0);
  model.frame(INTERFACE, arp(2, STRANGER, V4, '192.0.2.1'), 50, 0);
  t.equal(state(), 0);
  t.match(model.takeEvents(), [{ kind: AnnounceEventKind.conflict, value: 1 }]);
});

t.test('two that probe at once: one of them goes on', async (t) => {
  const { model, claim, state } = openAmong();
  claim();
  model.advance(0);
  model.frame(INTERFACE, arp(1, mac(3), '0.0.0.0', V4), 50, 0);
  t.equal(state(), 1);
  framesOf(model);
  model.frame(INTERFACE, arp(1, mac(2), '0.0.0.0', V4), 60, 0);
  t.equal(state(), 0);
});

t.test('after a pause nothing is answered before silence has been heard', async (t) => {
  const { model, own, state } = openAmong();
  own();
  model.frame(INTERFACE, arp(1, STRANGER, '192.0.2.9', V4), 9000, 1);
  t.same(framesOf(model), [], 'a question that has waited');
  model.pause(8000, 9000);
  model.frame(INTERFACE, arp(1, STRANGER, '192.0.2.9', V4), 9010, 0);
  t.same(framesOf(model), []);
  model.advance(9010);
  model.advance(9110);
  t.equal(state(), 2);
});

t.test('without a carrier silence tells nothing', async (t) => {
  const { model, claim, own, state } = openAmong();
  model.link(INTERFACE, 0, 0);
  claim();
  model.advance(0);
  model.advance(5000);
  t.equal(state(), 1);
  t.same(framesOf(model), []);
  model.link(INTERFACE, 1, 6000);
  model.advance(6000);
  model.advance(6100);
  t.equal(state(), 2);
  model.link(INTERFACE, 0, 7000);
  model.link(INTERFACE, 1, 8000);
  t.equal(state(), 1, 'it may have been taken meanwhile');
  own();
});

t.test('heartbeats', async (t) => {
  const [a, b] = [openModel('a', 1, [['b', 2]]), openModel('b', 2, [['a', 1]])];
  const beat = a.advance(0) as Uint8Array;
  t.equal(a.advance(100), undefined);
  b.datagram(Uint8Array.of(192, 0, 2, 77), beat, 0);
  t.same(b.takeEvents(), [], 'from another address it is from nobody');
  b.datagram(Uint8Array.of(192, 0, 2, 1), beat, 0);
  t.match(b.takeEvents(), [{ kind: AnnounceEventKind.peerUp, peer: 'a' }]);
  b.advance(1000);
  t.same(b.takeEvents(), []);
  b.advance(1201);
  t.match(b.takeEvents(), [{ kind: AnnounceEventKind.peerDown, peer: 'a' }]);
  a.setLeaving(1);
  b.datagram(Uint8Array.of(192, 0, 2, 1), a.advance(1400) as Uint8Array, 1400);
  t.match(b.takeEvents(), [{ kind: AnnounceEventKind.peerLeaving, peer: 'a' }]);
  t.equal(b.status(1400).peers[0]?.endsWithAgent, 0);
  a.setEndsWithAgent(1);
  b.datagram(Uint8Array.of(192, 0, 2, 1), a.advance(1600) as Uint8Array, 1600);
  t.equal(b.status(1600).peers[0]?.endsWithAgent, 1);
  // The next agent begins: it leaves as long as it does not serve, and what the one before carried has ended with it.
  a.setEndsWithAgent(0);
  b.datagram(Uint8Array.of(192, 0, 2, 1), a.advance(1800) as Uint8Array, 1800);
  t.equal(b.status(1800).peers[0]?.endsWithAgent, 1);
  a.setLeaving(0);
  b.datagram(Uint8Array.of(192, 0, 2, 1), a.advance(2000) as Uint8Array, 2000);
  t.equal(b.status(2000).peers[0]?.endsWithAgent, 0, 'it serves in another mode');
});

t.test('who was never heard is dead where others are heard; else a firewall may be in the way', async (t) => {
  const [a, b] = [
    openModel('a', 1, [
      ['b', 2],
      ['c', 3],
    ]),
    openModel('b', 2, [['a', 1]]),
  ];
  for (let now = 0; now <= 10_000; now += 200) a.advance(now);
  t.same([a.takeEvents(), a.status(10_000).deaf], [[], 0], 'nobody is heard');
  for (let now = 10_200; now <= 10_600; now += 200) {
    a.datagram(Uint8Array.of(192, 0, 2, 2), b.advance(now) as Uint8Array, now);
    a.advance(now);
  }
  t.match(a.takeEvents(), [
    { kind: AnnounceEventKind.peerUp, peer: 'b' },
    { kind: AnnounceEventKind.peerDown, peer: 'c' },
  ]);
  a.advance(20_000);
  t.match(a.takeEvents(), [{ kind: AnnounceEventKind.peerDown, peer: 'b' }]);
  const begun = openModel('a', 1, [
    ['b', 2],
    ['c', 3],
  ]);
  let deadAt = 0;
  for (let now = 0; deadAt === 0 && now <= 3000; now += 200) {
    begun.datagram(Uint8Array.of(192, 0, 2, 2), b.advance(30_000 + now) as Uint8Array, now);
    begun.advance(now);
    if (begun.takeEvents().some(({ peer, kind }) => peer === 'c' && kind === AnnounceEventKind.peerDown))
      deadAt = now;
  }
  t.equal(deadAt, 1400, 'six heartbeats of who was never heard are missing');
  t.equal(a.status(20_000).deaf, 0, 'one that was heard is not enough to be deaf');
  t.match(
    a.status(20_000).peers.map(({ name, silentForMs }) => [name, silentForMs]),
    [
      ['b', 9400],
      ['c', -1],
    ],
  );
});

t.test('any bytes do no harm', async () => {
  const { model, own } = openAmong();
  own();
  const real = [
    toHex(announcement(2)),
    '3333ff0001000200000000ee86dd6000000000203aff20010db8000000000000000000000009ff0200000000000000000001ff000100870000000000000020010db800000000000000000000010001010200000000ee',
  ].map(fromHex);
  fc.assert(
    fc.property(
      fc.constantFrom(...real),
      fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 5 }),
      fc.nat(100),
      (bytes, changes, length) => {
        const broken = bytes.slice(0, length);
        for (const [at, value] of changes) if (at < broken.length) broken[at] = value;
        model.frame(INTERFACE, broken, 500, 0);
        model.datagram(Uint8Array.of(192, 0, 2, 2), broken, 500);
      },
    ),
    { numRuns: 3000 },
  );
  const beat = model.advance(1000) ?? new Uint8Array();
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(40), fc.nat(255)), { maxLength: 4 }),
      fc.nat(60),
      (changes, length) => {
        const broken = beat.slice(0, length);
        for (const [at, value] of changes) if (at < broken.length) broken[at] = value;
        model.datagram(Uint8Array.of(192, 0, 2, 2), broken, 1000);
      },
    ),
  );
});

/** Of an ICMPv6 message in Ethernet. */
function setChecksum(frame: Uint8Array): void {
  frame[56] = 0;
  frame[57] = 0;
  let sum = frame.length - 54 + 58;
  const add = (from: number, to: number) => {
    for (let i = from; i < to; i += 2) sum += ((frame[i] ?? 0) << 8) | (frame[i + 1] ?? 0);
  };
  add(22, 54);
  add(54, frame.length);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  frame[56] = (~sum >> 8) & 255;
  frame[57] = ~sum & 255;
}
