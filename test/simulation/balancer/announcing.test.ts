/**
 * 10,000 faults, in histories of 100: API server away, LAN away, both, one-way loss, wall clocks that jump, processes that are paused
 * or killed. A history that does not hold is named with its seed, which replays it alone (replay.ts).
 */
import t from 'tap';
import { type AnnouncingOutcome, BOUNDS, liveAnnouncing, livePlanned } from './announcingHistory.js';

const HISTORIES = 100;
const FAULTS_EACH = 100;

t.test('never two owners longer than one announcement, never none longer than the bound', async (t) => {
  const begun = process.cpuUsage();
  const broken: string[] = [];
  const outcomes: AnnouncingOutcome[] = [];
  for (let seed = 1; seed <= HISTORIES; seed++) {
    try {
      outcomes.push(await liveAnnouncing(seed, { faults: FAULTS_EACH }));
    } catch (error) {
      broken.push(
        `seed ${seed}: ${(error as Error).message}; node dist/test/simulation/balancer/replay.js ${seed} ${FAULTS_EACH}`,
      );
    }
  }
  t.same(broken, []);
  const most = (of: (outcome: AnnouncingOutcome) => number) => Math.round(Math.max(...outcomes.map(of)));
  const sum = (of: (outcome: AnnouncingOutcome) => number) =>
    outcomes.reduce((total, each) => total + of(each), 0);
  const { user, system } = process.cpuUsage(begun);
  t.comment(
    `seeds 1 to ${HISTORIES}: ${sum(({ faults }) => faults)} faults in ${Math.round(sum(({ lived }) => lived) / 3_600_000)} h, ` +
      `${sum(({ moves }) => moves)} moves; two owners at most ${most(({ two }) => two)} ms (bound ${BOUNDS.two}), ` +
      `${most(({ twoAfterAnnouncement }) => twoAfterAnnouncement)} ms after an announcement (${BOUNDS.twoAfterAnnouncement}), ` +
      `none at most ${most(({ none }) => none)} ms (${BOUNDS.none}); ${Math.round((user + system) / 1e6)} s of CPU`,
  );
  t.ok(sum(({ moves }) => moves) > HISTORIES * 10, 'addresses change hands: the histories are not idle');
});

t.test(
  'a node that begins deaf, and is heard, loses its addresses: it says in its Lease that it hears nobody',
  async (t) => {
    let longest = 0;
    for (const node of [1, 2, 3])
      for (let seed = 1; seed <= 5; seed++) {
        const faults = [
          { after: 0, node, fault: 'killed', lasts: 10_000 },
          { after: 5000, node, fault: 'hears nothing', lasts: 60_000 },
        ] as const;
        const { none } = await livePlanned(seed, faults);
        longest = Math.max(longest, none);
      }
    t.ok(longest > 1000, 'it had some');
    t.comment(`nobody who hears answered for ${Math.round(longest)} ms (bound ${BOUNDS.none})`);
  },
);

t.test('Leases that are deleted, again and again, move no address', async (t) => {
  for (const fault of ['its Lease deleted', 'all Leases deleted'] as const)
    for (let seed = 1; seed <= 5; seed++) {
      const again = Array.from({ length: 20 }, (_, i) => ({
        after: 300 + 170 * i,
        node: (i % 3) + 1,
        fault,
        lasts: 10,
      }));
      const { none, two, moves } = await livePlanned(seed, again);
      t.same({ none, two, moves }, { none: 0, two: 0, moves: 4 }, `${fault}, seed ${seed}`);
    }
});

t.test('whose Lease is deleted and who dies is replaced as ever', async (t) => {
  let longest = 0;
  for (const node of [1, 2, 3])
    for (let seed = 1; seed <= 3; seed++) {
      const faults = [
        { after: 0, node, fault: 'all Leases deleted', lasts: 10 },
        { after: 20 * seed, node, fault: 'killed', lasts: 20_000 },
      ] as const;
      longest = Math.max(longest, (await livePlanned(seed, faults)).none);
    }
  t.ok(longest > 500, 'it had some');
  t.ok(longest <= 2000, `nobody answered for ${Math.round(longest)} ms`);
  t.comment(`nobody answered for ${Math.round(longest)} ms`);
});
