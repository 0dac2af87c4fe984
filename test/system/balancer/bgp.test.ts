/** Sessions with real routers: Debian's BIRD and FRR. */
import t from 'tap';
import type { Route } from '../../../src/balancer/bgp/AdjRibOut.js';
import { BgpSession, type BgpSessionOptions } from '../../../src/balancer/bgp/BgpSession.js';
import { openTcp, type TcpOptions } from '../../../src/balancer/bgp/openTcp.js';
import type { Cidr, IpAddress } from '../../../src/net/ip.js';
import { systemClock } from '../../../src/time/Clock.js';
import { makeLan } from '../../support/balancer/lan.js';
import {
  Bird,
  Frr,
  HAS_BIRD,
  HAS_FRR,
  type Router,
  type RouterOptions,
} from '../../support/balancer/routers.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';

const AGENT = '192.0.2.254';
const ROUTER = '192.0.2.200';

function routes(count: number): Route[] {
  const communities = [{ type: 'standard' as const, value: 65_000 * 0x1_0000 + 7 }];
  return Array.from({ length: count }, (_, i): Route[] => [
    { prefix: `10.${i >> 8}.${i & 255}.1/32` as Cidr, localPref: undefined, communities },
    { prefix: `fd00::${(i + 1).toString(16)}/128` as Cidr, localPref: undefined, communities },
  ]).flat();
}

function session(
  asns: { readonly my: number; readonly peer: number },
  tcp: Partial<TcpOptions>,
  rest: Partial<BgpSessionOptions> = {},
) {
  return new BgpSession({
    myAsn: asns.my,
    peerAsn: asns.peer,
    identifier: AGENT as IpAddress,
    holdTime: 9,
    keepaliveTime: undefined,
    connectTime: undefined,
    restartSeconds: 30,
    otherNextHops: { IPv6: '2001:db8::fe' as IpAddress },
    open: openTcp(
      {
        address: ROUTER as IpAddress,
        port: 179,
        sourceAddress: undefined,
        password: '',
        distance: 'neighbour',
        ...tcp,
      },
      systemClock,
    ),
    clock: systemClock,
    random: Math.random,
    onChange: () => {},
    ...rest,
  });
}

const KINDS: readonly (readonly [string, boolean, (options: RouterOptions) => Router])[] = [
  ['BIRD', HAS_BIRD, (options) => new Bird('bird', 200, options)],
  ['FRR', HAS_FRR, (options) => new Frr('frr', 200, options)],
];

if (await inNetns(import.meta.url)) {
  makeLan();
  for (const [name, isHere, open] of KINDS) {
    const skip = isHere ? false : `${name} is not installed`;
    const started = async (
      t: { teardown(action: () => void): void },
      options: Partial<RouterOptions> = {},
    ) => {
      const router = open({ asn: 64_512, agentAsn: 64_513, agent: AGENT, ...options });
      t.teardown(() => router.close());
      await router.start();
      return router;
    };

    t.test(
      `${name}: 1,000 prefixes of both families, changes, a restart and the end`,
      { skip },
      async (t) => {
        const router = await started(t);
        const before = performance.now();
        const first = session({ my: 64_513, peer: 64_512 }, {});
        first.setRoutes(routes(1000));
        first.start();
        t.ok(await eventually(() => first.state === 'established'), first.reason ?? 'no reason');
        const up = performance.now();
        t.ok(await eventually(() => router.routes().v4 === 1000 && router.routes().v6 === 1000, 10_000));
        const [sinceStart, sinceUp] = [before, up].map((then) => Math.round(performance.now() - then));
        t.comment(
          `2,000 routes seen ${sinceStart} ms after the first packet, ${sinceUp} ms after the session was up`,
        );

        first.setRoutes(routes(600));
        t.ok(
          await eventually(() => router.routes().v4 === 600 && router.routes().v6 === 600, 5000),
          'withdrawn',
        );

        first.stop('keep');
        await new Promise((resolve) => setTimeout(resolve, 1500));
        t.same(router.routes(), { v4: 600, v6: 600 }, 'kept while the agent is away');
        const second = session({ my: 64_513, peer: 64_512 }, {});
        second.setRoutes(routes(500));
        second.start();
        t.ok(await eventually(() => second.state === 'established'), second.reason ?? 'no reason');
        t.ok(
          await eventually(() => router.routes().v4 === 500 && router.routes().v6 === 500, 10_000),
          'after the End of RIB what was not announced again is gone',
        );

        second.drain();
        second.stop('withdraw');
        t.ok(await eventually(() => router.routes().v4 === 0 && router.routes().v6 === 0, 5000));
      },
    );

    t.test(`${name}: AS numbers of four bytes, MD5 and TTL security`, { skip }, async (t) => {
      const [my, peer] = [4_200_000_001, 4_200_000_002];
      const router = await started(t, { asn: peer, agentAsn: my, password: 'secret', ttlSecurity: true });
      const wrong = session({ my, peer }, { password: 'wrong', distance: 'security' });
      wrong.start();
      await new Promise((resolve) => setTimeout(resolve, 1500));
      t.not(wrong.state, 'established');
      wrong.stop('keep');
      const right = session({ my, peer }, { password: 'secret', distance: 'security' });
      right.setRoutes(routes(3));
      right.start();
      t.ok(await eventually(() => right.state === 'established'), right.reason ?? 'no reason');
      t.ok(await eventually(() => router.routes().v4 === 3 && router.routes().v6 === 3, 5000));
      t.match(
        router.ask(name === 'BIRD' ? 'show route all 10.0.0.1/32' : 'show bgp ipv4 unicast 10.0.0.1/32'),
        /4200000001/,
      );
      t.match(
        router.ask(name === 'BIRD' ? 'show route all 10.0.0.1/32' : 'show bgp ipv4 unicast 10.0.0.1/32'),
        /65000[:,]7/,
      );
      right.stop('withdraw');
    });

    t.test(`${name}: iBGP`, { skip }, async (t) => {
      const router = await started(t, { asn: 64_512, agentAsn: 64_512 });
      const made = session({ my: 64_512, peer: 64_512 }, { distance: 'far' });
      made.setRoutes(routes(2).map((route) => ({ ...route, localPref: 333 })));
      made.start();
      t.ok(
        await eventually(() => router.routes().v4 === 2 && router.routes().v6 === 2, 20_000),
        made.reason ?? 'no reason',
      );
      t.match(
        router.ask(name === 'BIRD' ? 'show route all 10.0.0.1/32' : 'show bgp ipv4 unicast 10.0.0.1/32'),
        /333/,
      );
      made.stop('withdraw');
    });

    t.test(`${name}: a router that stops answering, and comes back`, { skip }, async (t) => {
      const router = await started(t, { hold: 9 });
      const made = session({ my: 64_513, peer: 64_512 }, {}, { holdTime: 3 });
      made.setRoutes(routes(2));
      made.start();
      t.ok(await eventually(() => made.state === 'established'), made.reason ?? 'no reason');
      router.signal('SIGSTOP');
      t.ok(await eventually(() => made.state !== 'established', 6000));
      t.match(made.reason, /silent for longer than the hold time/);
      router.signal('SIGCONT');
      t.ok(await eventually(() => made.state === 'established', 15_000), made.reason ?? 'no reason');
      t.ok(await eventually(() => router.routes().v4 === 2 && router.routes().v6 === 2, 20_000));
      made.stop('withdraw');
    });
  }
}
