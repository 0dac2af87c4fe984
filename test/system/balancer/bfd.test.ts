/** BFD with BIRD and FRR: sessions come up, a dead router is found, and a pause of JavaScript takes nobody out. */
import t from 'tap';
import { BFD_STATES } from '../../../src/kernel/addon/NativeBfd.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { ipToBytes } from '../../../src/net/ip.js';
import { makeLan } from '../../support/balancer/lan.js';
import {
  Bird,
  Frr,
  HAS_BIRD,
  HAS_FRR,
  type Router,
  type RouterOptions,
} from '../../support/balancer/routers.js';
import { ip } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';

const AGENT = '192.0.2.254';
const ROUTER = ip('192.0.2.200');
/** Milliseconds: a packet every 225 to 300 ms, which may be missed twice in 900. */
const LATEST = 300;
/** What does not come in this time never does. */
const LONG_MS = 30_000;
const TRIES = 6;

/** Whether one of several tries succeeds. */
async function eachTry(attempt: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < TRIES; i++) if (await attempt()) return true;
  return false;
}

const KINDS: readonly (readonly [string, boolean, (options: RouterOptions) => Router, string, RegExp])[] = [
  [
    'BIRD',
    HAS_BIRD,
    (options) => new Bird('bird', 200, options),
    'show bfd sessions',
    /192\.0\.2\.254\s+eth0\s+Up/,
  ],
  [
    'FRR',
    HAS_FRR,
    (options) => new Frr('frr', 200, options),
    'show bfd peers',
    /peer 192\.0\.2\.254[\s\S]*Status: up/,
  ],
];

if (await inNetns(import.meta.url)) {
  makeLan();
  for (const [name, isHere, open, question, up] of KINDS) {
    const skip = isHere ? false : `${name} is not installed`;
    t.test(name, { skip }, async (t) => {
      const router = open({ asn: 64_512, agentAsn: 64_513, agent: AGENT, bfd: true });
      t.teardown(() => router.close());
      await router.start();
      const changes: { readonly at: number; readonly state: string | undefined; readonly diag: number }[] =
        [];
      const bfd = new (nativeAddon().BfdEngine)(() => {
        for (const { state, diag, at } of bfd.takeChanges())
          changes.push({ at, state: BFD_STATES[state], diag });
      });
      t.teardown(() => bfd.close());
      const state = () => changes.at(-1)?.state;
      bfd.add({
        peer: ipToBytes(ROUTER),
        source: new Uint8Array(),
        transmitMs: 300,
        receiveMs: 300,
        multiplier: 3,
        passive: 0,
        leastTtl: 255,
      });
      // BIRD begins a BFD session only for a BGP neighbour that it knows; it waits for none.
      t.ok(await eventually(() => state() === 'up', LONG_MS), `${changes.map((each) => each.state)}`);
      t.ok(await eventually(() => up.test(router.ask(question)), LONG_MS), router.ask(question));

      // A router that has no processor for 900 ms goes down whatever we do: what is ours must hold in one of several tries.
      const idle = await eachTry(async () => {
        t.ok(await eventually(() => state() === 'up' && up.test(router.ask(question)), LONG_MS));
        const count = changes.length;
        bfd.takeLateness();
        // Blocks this thread, and takes no core from the router: machines that test have two.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
        await new Promise((resolve) => setTimeout(resolve, 300));
        const late = bfd.takeLateness() / 1000;
        t.comment(`packets of ours were at most ${late} ms late; changes: ${changes.length - count}`);
        return late > 0 && late < LATEST && changes.length === count;
      });
      t.ok(idle, 'JavaScript did nothing for two seconds, and nobody noticed');

      const quick = await eachTry(async () => {
        t.ok(await eventually(() => state() === 'up' && up.test(router.ask(question)), LONG_MS));
        shell(`ip link set ${router.host.name} down`);
        const cut = Number(process.hrtime.bigint()) / 1e6;
        t.ok(await eventually(() => state() === 'down', LONG_MS));
        const found = Math.round((changes.at(-1)?.at ?? Number.POSITIVE_INFINITY) - cut);
        t.comment(`found after ${found} ms`);
        t.equal(changes.at(-1)?.diag, 1, 'the detection time ran out');
        shell(`ip link set ${router.host.name} up`);
        t.ok(await eventually(() => state() === 'up', LONG_MS), 'and it is back');
        return found <= 1000;
      });
      t.ok(quick, 'a dead router is found within 1 s');

      bfd.remove(ipToBytes(ROUTER));
      t.ok(await eventually(() => !up.test(router.ask(question)), LONG_MS));
    });
  }
}
