import t from 'tap';
import { ForeignListings } from '../../../../src/kernel/nftables/table/ForeignListings.js';
import { FakeClock } from '../../../support/FakeClock.js';

const HEAD = 'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode';
const socket = (port: number, isListed: boolean, protocol = 12) =>
  `0000000000000000 ${protocol}   ${port}       00000000 0        0        ${isListed ? 1 : 0}     2        0        4711`;

/** `names`: of processes by number. `sockets`: what there is, at a moment. */
function world(names: Readonly<Record<number, string>>) {
  const clock = new FakeClock();
  const state = { sockets: [] as readonly string[], looks: 0 };
  const listings = new ForeignListings({
    clock,
    read: (path) => {
      if (path === '/proc/net/netlink') {
        state.looks++;
        return [HEAD, ...state.sockets].join('\n');
      }
      const name = names[Number(/\d+/.exec(path)?.[0])];
      if (name === undefined) throw new Error('ENOENT');
      return `${name}\n`;
    },
  });
  /** How long a change waits, with so much time to pass at most. */
  const wait = async (atMost: number) => {
    const begun = clock.now();
    let ended = -1;
    void listings.over().then(() => {
      ended = clock.now() - begun;
    });
    await clock.pass(atMost);
    return ended;
  };
  return { clock, state, listings, wait };
}

t.test('one change alone waits for nobody, and does not even look', async (t) => {
  const { state, wait } = world({ 7: 'nft' });
  state.sockets = [socket(7, true)];
  t.equal(await wait(0), 0);
  t.equal(state.looks, 0);
});

t.test('changes that follow each other wait for the end of a list', async (t) => {
  const { clock, state, listings, wait } = world({ 7: 'nft' });
  listings.changed();
  state.sockets = [socket(7, false)];
  t.equal(await wait(0), 0, 'nft is there, and lists nothing yet');
  state.sockets = [socket(7, true)];
  clock.after(300, () => {
    state.sockets = [];
  });
  clock.after(100, () => {
    state.sockets = [socket(7, false)];
  });
  t.equal(await wait(1000), 300, 'between the parts of a list, too');
});

t.test('a list that does not end has two seconds, then others have three, then it has four', async (t) => {
  const { clock, state, listings, wait } = world({ 7: 'nft', 8: 'nft' });
  state.sockets = [socket(7, true)];
  listings.changed();
  t.equal(await wait(2000), 2000);
  for (let i = 0; i < 3; i++) {
    listings.changed();
    t.equal(await wait(999), 0);
  }
  await clock.pass(3);
  listings.changed();
  t.equal(await wait(4000), 4000, 'it has begun anew');
  await clock.pass(3000);
  listings.changed();
  state.sockets = [socket(8, true)];
  t.equal(await wait(4000), 2000, 'another one');
});

t.test('who counts', async (t) => {
  for (const [sockets, names, waits] of [
    [[socket(7, true)], { 7: 'iptables-save' }, true],
    [[socket(7, true)], {}, true],
    [[socket(7, true)], { 7: 'conntrack' }, false],
    [[socket(7, true)], { 7: 'node' }, false],
    [[socket(4_294_963_000, true)], {}, false],
    [[socket(7, true, 0)], { 7: 'ip' }, false],
    [[], {}, false],
  ] as const) {
    const { state, listings, wait } = world(names);
    state.sockets = sockets;
    listings.changed();
    t.equal((await wait(0)) === -1, waits, JSON.stringify({ sockets, names }));
  }
});

t.test('where the kernel does not say it', async (t) => {
  const clock = new FakeClock();
  const listings = new ForeignListings({
    clock,
    read: () => {
      throw new Error('ENOENT');
    },
  });
  listings.changed();
  await t.resolves(listings.over());
});
