/** Orders and events cross: what the machine does, what layer 2 believes and what was told come to the same. */
import t from 'tap';
import { Layer2 } from '../../../../src/balancer/layer2/Layer2.js';
import { compareRank } from '../../../../src/balancer/layer2/rendezvous.js';
import type { Member } from '../../../../src/balancer/membership/Member.js';
import type { AnnounceEvent, NativeResponder } from '../../../../src/kernel/addon/NativeResponder.js';
import { ipToBytes } from '../../../../src/net/ip.js';
import { Chance } from '../../../simulation/Chance.js';
import { INTERFACE, macOfNode, openModel } from '../../../support/balancer/modelLan.js';
import { ip } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

const ADDRESS = ip('192.0.2.100');
const OWNING = 2;
const CEDING = 3;

/** This node, and another that is on the wire as a list of frames. */
async function open(seed: number, selfFirst: boolean) {
  const chance = new Chance(seed);
  const clock = new FakeClock();
  const now = () => Math.floor(clock.now());
  const [first = '', second = ''] = ['node1', 'node2'].sort((a, b) => compareRank(ADDRESS, a, b));
  const [self, other] = selfFirst ? [first, second] : [second, first];
  const model = openModel(self, 1, [[other, 2]]);
  const held: AnnounceEvent[] = [];
  let told = false;
  let onEvents = () => {};
  const responder: NativeResponder = {
    setInterfaces: () => [],
    setPeers: (list) => model.setPeers(list),
    setFreshUntil: (until) => model.setFreshUntil(until),
    setLeaving: (leaving) => model.setLeaving(leaving),
    setEndsWithAgent: (ends) => model.setEndsWithAgent(ends),
    run: (orders) => model.run(orders, now()),
    takeEvents: () => held.splice(0),
    status: () => model.status(now()),
    now,
    close: () => {},
  };
  const layer2 = new Layer2({
    node: self,
    openResponder: (tell) => {
      onEvents = tell;
      return responder;
    },
    endsWithAgent: false,
    clock,
    random: chance.random,
    listener: {
      announcing: (_address, _index, announces) => {
        if (announces === told) throw new Error(`told twice: ${announces}`);
        told = announces;
      },
      conflict: () => {},
      paused: () => {},
      peerChanged: () => {},
      interfaceFailed: () => {},
    },
  });
  layer2.setFreshUntil(1e9);
  const member = (name: string, i: number): [string, Member] => [
    name,
    {
      name,
      address: ip(`192.0.2.${i}`),
      fresh: true,
      macs: [macOfNode(i)],
      subnets: [],
      advertises: undefined,
    },
  ];
  layer2.setMembership({ members: new Map([member(self, 1), member(other, 2)]), connected: true });
  const want = (owner: string) =>
    layer2.setWishes([
      { address: ADDRESS, advertisements: [], nodes: undefined, movedTo: owner, interfaces: [INTERFACE] },
    ]);
  /** The thread runs on; its events wait. */
  const run = async (milliseconds: number) => {
    const step = Math.min(milliseconds, 250);
    for (let passed = 0; passed < milliseconds; passed += step) {
      await clock.pass(step);
      model.advance(now());
      model.takeFrames();
      held.push(...model.takeEvents());
    }
  };
  /** As an announcement of the other one: an ARP request for its own address. */
  const hear = () => {
    const address = ipToBytes(ADDRESS);
    const frame = Buffer.concat([
      Buffer.from('ffffffffffff', 'hex'),
      macOfNode(2),
      Buffer.from('08060001080006040001', 'hex'),
      macOfNode(2),
      address,
      Buffer.alloc(6),
      address,
      Buffer.alloc(18),
    ]);
    model.frame(INTERFACE, frame, clock.now(), 0);
    held.push(...model.takeEvents());
  };
  return {
    chance,
    self,
    other,
    want,
    run,
    hear,
    deliver: () => {
      held.push(...model.takeEvents());
      onEvents();
    },
    answers: () => [OWNING, CEDING].includes(model.stateOf(INTERFACE, ipToBytes(ADDRESS))),
    believes: () => layer2.announced().some(({ state }) => state === 'owning' || state === 'ceding'),
    told: () => told,
    close: () => layer2.close(),
  };
}

t.test('whatever crosses, nothing is announced that is not wanted, and what is wanted is', async (t) => {
  let crossed = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const world = await open(seed, seed % 2 === 0);
    const { chance, self, other, want, run, hear, deliver, answers, believes, told } = world;
    const steps: string[] = [];
    for (let i = 0; i < 12; i++) {
      const owner = chance.percent(50) ? self : other;
      const step = chance.pick(['want', 'want', 'run', 'hear', 'deliver']);
      steps.push(step === 'want' ? `want ${owner === self ? 'self' : 'other'}` : step);
      if (step === 'want') want(owner);
      else if (step === 'run') await run(chance.pick([50, 150, 800, 6000]));
      else if (step === 'hear') hear();
      else deliver();
      if (answers() !== believes()) crossed++;
    }
    const owner = chance.percent(50) ? self : other;
    want(owner);
    for (let i = 0; i < 24; i++) {
      await run(500);
      deliver();
    }
    const wanted = owner === self;
    const came = [answers(), believes(), told()];
    if (came.some((each) => each !== wanted)) {
      t.same(
        came,
        [wanted, wanted, wanted],
        `seed ${seed}: ${steps.join(', ')}, want ${wanted ? 'self' : 'other'}`,
      );
      break;
    }
    world.close();
  }
  t.ok(crossed > 100, `${crossed} moments in which they differ: events do cross orders`);
});
