/** The session with a router that is the test, on a clock that is the test's. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import type { BgpConnectionEvents } from '../../../../src/balancer/bgp/BgpConnection.js';
import { BgpSession, type BgpSessionOptions } from '../../../../src/balancer/bgp/BgpSession.js';
import { MessageStream } from '../../../../src/balancer/bgp/decode.js';
import { encodeKeepalive, encodeNotification, encodeOpen } from '../../../../src/balancer/bgp/encode.js';
import { cidr, ip } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { fromHex } from '../../../support/hex.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that are not garbage. */
function held(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const NAMES = ['', 'OPEN', 'UPDATE', 'NOTIFICATION', 'KEEPALIVE'];

class Router {
  readonly clock = new FakeClock();
  /** When a connection was tried, in milliseconds. */
  readonly tries: number[] = [];
  /** Messages since the last connection: name, for a NOTIFICATION with its codes. */
  said: string[] = [];
  lastOpen: Uint8Array = new Uint8Array();
  closed = 0;
  events: BgpConnectionEvents | undefined;
  #stream = new MessageStream();

  session(fields: Partial<BgpSessionOptions> = {}): BgpSession {
    return new BgpSession({
      myAsn: 64_513,
      peerAsn: 64_512,
      identifier: ip('192.0.2.1'),
      holdTime: 90,
      keepaliveTime: undefined,
      connectTime: undefined,
      restartSeconds: 30,
      otherNextHops: { IPv6: ip('2001:db8::1') },
      open: (events) => {
        this.tries.push(this.clock.now());
        this.events = events;
        return () => {
          this.closed++;
        };
      },
      clock: this.clock,
      random: () => 1,
      onChange: () => {},
      ...fields,
    });
  }

  accept(): void {
    this.said = [];
    this.#stream = new MessageStream();
    this.events?.opened({
      localAddress: ip('192.0.2.1'),
      write: (bytes) => {
        for (const { type, body } of this.#stream.push(bytes)) {
          this.said.push(type === 3 ? `NOTIFICATION ${body[0]}/${body[1]}` : (NAMES[type] as string));
          if (type === 1) this.lastOpen = body;
        }
      },
      close: () => {
        this.closed++;
      },
    });
  }

  say(bytes: Uint8Array): void {
    this.events?.data(bytes);
  }

  open(asn = 64_512, holdTime = 90): void {
    this.say(
      encodeOpen({
        asn,
        holdTime,
        identifier: ip('192.0.2.200'),
        capabilities: { families: ['IPv4', 'IPv6'], gracefulRestart: undefined },
      }),
    );
  }

  establish(): void {
    this.accept();
    this.open();
    this.say(encodeKeepalive());
  }
}

const ROUTES = ['10.0.0.1/32', 'fd00::1/128'].map((text) => ({
  prefix: cidr(text),
  localPref: undefined,
  communities: [],
}));

t.test('a session comes up, tells its routes and the End of RIB of both families', async (t) => {
  const router = new Router();
  const session = router.session();
  session.setRoutes(ROUTES);
  session.start();
  t.equal(session.state, 'connect');
  router.accept();
  t.same(router.said, ['OPEN']);
  t.equal(router.lastOpen.at(34), 0x80, 'the first one since the start: it has restarted');
  router.open();
  t.same(router.said, ['OPEN', 'KEEPALIVE']);
  t.equal(session.state, 'open confirm');
  router.say(encodeKeepalive());
  t.equal(session.state, 'established');
  t.same(router.said, ['OPEN', 'KEEPALIVE', 'UPDATE', 'UPDATE', 'UPDATE', 'UPDATE']);
  t.equal(session.announced, 2);
  router.events?.closed('cut');
  t.equal(session.announced, 0);
  await router.clock.pass(1500);
  router.establish();
  t.equal(router.lastOpen.at(34), 0x00, 'the session was lost, the process was not');
  t.equal(router.said.length, 6, 'everything is told again');
});

t.test('keepalives are sent at a third of the smaller hold time, and awaited for all of it', async (t) => {
  const router = new Router();
  const session = router.session();
  session.start();
  router.accept();
  router.open(64_512, 30);
  router.say(encodeKeepalive());
  router.said = [];
  for (let i = 0; i < 10; i++) {
    await router.clock.pass(10_000);
    router.say(encodeKeepalive());
  }
  t.equal(session.state, 'established');
  t.equal(router.said.filter((name) => name === 'KEEPALIVE').length, 10);
  await router.clock.pass(29_000);
  t.equal(session.state, 'established');
  await router.clock.pass(1500);
  t.equal(session.state, 'idle');
  t.equal(router.said.at(-1), 'NOTIFICATION 4/0');
});

t.test('a hold time of 0: nothing times out', async (t) => {
  const router = new Router();
  const session = router.session({ holdTime: 0 });
  session.start();
  router.establish();
  router.said = [];
  await router.clock.pass(86_400_000);
  t.equal(session.state, 'established');
  t.same(router.said, []);
});

t.test('tries are further and further apart, up to a minute', async (t) => {
  const router = new Router();
  const session = router.session();
  session.start();
  const gaps: number[] = [];
  for (let i = 0; i < 8; i++) {
    const lost = router.clock.now();
    router.events?.closed('refused');
    while (router.tries.length < i + 2) await router.clock.pass(500);
    gaps.push((router.tries.at(-1) as number) - lost);
  }
  t.same(gaps, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  t.equal(session.reason, 'refused');
});

t.test('a connection that does not come, an OPEN that does not come', async (t) => {
  const router = new Router();
  const session = router.session();
  session.start();
  await router.clock.pass(10_000);
  t.equal(session.state, 'idle');
  t.match(session.reason, /no connection within 10 s/);
  await router.clock.pass(2000);
  router.accept();
  await router.clock.pass(30_000);
  t.equal(router.said.at(-1), 'NOTIFICATION 4/0');
});

t.test('what the router may not say', async (t) => {
  for (const [what, say, notification] of [
    ['another AS', (router: Router) => router.open(64_999), '2/2'],
    ['a KEEPALIVE before its OPEN', (router: Router) => router.say(encodeKeepalive()), '5/0'],
    ['no marker', (router: Router) => router.say(new Uint8Array(19)), '1/1'],
    [
      'a second OPEN',
      (router: Router) => {
        router.open();
        router.say(encodeKeepalive());
        router.open();
      },
      '5/0',
    ],
    [
      'an UPDATE whose lengths lie',
      (router: Router) => {
        router.open();
        router.say(encodeKeepalive());
        router.say(fromHex(`${'ff'.repeat(16)}0017020000ffff`));
      },
      '3/1',
    ],
  ] as const) {
    const router = new Router();
    const session = router.session();
    session.start();
    router.accept();
    say(router);
    t.equal(router.said.at(-1), `NOTIFICATION ${notification}`, what);
    t.equal(session.state, 'idle');
    t.ok(router.closed > 0);
  }
});

t.test('UPDATEs full of attributes cost no memory, in whatever pieces they come', async (t) => {
  const router = new Router();
  const session = router.session();
  session.start();
  router.establish();
  // As long as a message may be: COMMUNITIES (type 8) with 1,000 values and large ones (32) behind them.
  const full = new Uint8Array(4096).fill(0xff, 0, 16);
  full.set([0x10, 0x00, 2, 0, 0, 0x0f, 0xe9, 0xd0, 8, 0x0f, 0xa0], 16);
  full.set([0xc0, 32, 66], 27 + 4000);
  const flood = Buffer.concat(Array.from({ length: 16 }, () => full));
  router.say(flood);
  const begun = held();
  for (let i = 0; i < 2000; i++) router.say(flood);
  for (let at = 0; at < full.length; at++) router.say(full.subarray(at, at + 1));
  const grown = held() - begun;
  // The same after 65 or 390 MB: buffers that the collector gives back later.
  t.ok(grown < 40e6, `131 MB came in, ${Math.round(grown / 1e6)} MB more are held`);
  t.equal(session.state, 'established');
  t.notOk(router.said.some((each) => each.startsWith('NOTIFICATION')));
  // RFC 8654 lets a message be longer where both say so; we do not.
  const longer = full.slice();
  longer.set([0x10, 0x01], 16);
  router.say(longer);
  t.equal(router.said.at(-1), 'NOTIFICATION 1/2');
  t.equal(session.state, 'idle');
});

t.test('AS internal and external', async (t) => {
  for (const [peerAsn, asn, good] of [
    ['internal', 64_513, true],
    ['internal', 64_512, false],
    ['external', 64_512, true],
    ['external', 64_513, false],
  ] as const) {
    const router = new Router();
    const session = router.session({ peerAsn });
    session.start();
    router.accept();
    router.open(asn);
    t.equal(session.state, good ? 'open confirm' : 'idle', `${peerAsn} and ${asn}`);
  }
});

t.test('a router that refuses capabilities is asked without', async (t) => {
  const router = new Router();
  const session = router.session();
  session.setRoutes(ROUTES);
  session.start();
  router.accept();
  router.say(encodeNotification(2, 4));
  t.match(session.reason, /unsupported optional parameter \(2\/4\)/);
  await router.clock.pass(1500);
  router.accept();
  t.equal(router.lastOpen[9], 0);
  router.say(
    encodeOpen({ asn: 64_512, holdTime: 90, identifier: ip('192.0.2.200'), capabilities: undefined }),
  );
  router.say(encodeKeepalive());
  t.equal(session.announced, 1, 'of IPv4 alone');

  router.say(encodeNotification(6, 4));
  await router.clock.pass(5000);
  router.accept();
  t.not(router.lastOpen[9], 0, 'a session later they are tried again: it may be another router');
});

t.test('ROUTE-REFRESH', async (t) => {
  const router = new Router();
  const session = router.session();
  session.setRoutes(ROUTES);
  session.start();
  router.establish();
  for (const [family, count] of [
    ['00010001', 1],
    ['00020001', 1],
    ['00190001', 0],
  ] as const) {
    router.said = [];
    router.say(fromHex(`${'ff'.repeat(16)}001705${family}`));
    t.equal(router.said.length, count, family);
  }
});

t.test(
  'a router that asks again and again is answered each 5 s for each family, and the last question too',
  async (t) => {
    const router = new Router();
    const session = router.session();
    session.setRoutes(ROUTES);
    session.start();
    router.establish();
    router.said = [];
    const ask = (family: string) => router.say(fromHex(`${'ff'.repeat(16)}001705${family}`.repeat(500)));
    for (let i = 0; i < 99; i++) {
      ask('00010001');
      ask('00020001');
      await router.clock.pass(100);
    }
    const updates = () => router.said.filter((name) => name === 'UPDATE').length;
    t.equal(updates(), 4, '99,000 questions in 9.9 s, two answers for each family');
    router.said = [];
    await router.clock.pass(60_000);
    t.equal(updates(), 2, 'the last question of each is answered, once');
    ask('00010001');
    t.equal(updates(), 3, 'at once where the last answer was long ago');
    ask('00010001');
    router.events?.closed('cut');
    await router.clock.pass(1500);
    router.establish();
    router.said = [];
    await router.clock.pass(20_000);
    t.equal(updates(), 0, 'another session has told everything anew');
    session.stop('keep');
    t.equal(router.clock.waiting, 0);
  },
);

t.test('the end: withdrawn, or kept by a router that helps at restarts', async (t) => {
  for (const [how, said] of [
    ['withdraw', ['UPDATE', 'UPDATE', 'NOTIFICATION 6/2']],
    ['keep', []],
  ] as const) {
    const router = new Router();
    const session = router.session();
    session.setRoutes(ROUTES);
    session.start();
    router.establish();
    router.said = [];
    session.stop(how);
    t.same(router.said, said);
    await router.clock.pass(600_000);
    t.equal(router.tries.length, 1, 'and it does not come back');
  }
});

t.test('before the end the router is asked to prefer other ways', async (t) => {
  const router = new Router();
  const session = router.session();
  session.setRoutes(ROUTES);
  session.start();
  router.establish();
  router.said = [];
  session.drain();
  t.same(router.said, ['UPDATE', 'UPDATE']);
});

t.test('BFD ends a session at once', async (t) => {
  const router = new Router();
  const session = router.session();
  session.start();
  session.bfdDown();
  t.equal(session.state, 'connect', 'there is none yet');
  router.establish();
  session.bfdDown();
  t.equal(router.said.at(-1), 'NOTIFICATION 6/10');
  t.match(session.reason, /BFD/);
});
