/** When an address is asked for again. */
import t from 'tap';
import { AddressClaim } from '../../../../src/balancer/layer2/AddressClaim.js';
import { ip } from '../../../support/builders.js';

const wanted = { owner: 'self', giveWay: 'to all' } as const;

function lostTo(peer: string): AddressClaim {
  const claim = new AddressClaim(ip('192.0.2.100'), 7, 'self', () => 0.5);
  let now = 0;
  // The pause grows to its longest.
  for (let i = 0; i < 4; i++) {
    t.match(claim.want(wanted, now), { command: 'claim' });
    claim.lost(peer, now);
    now = claim.retryAt ?? 0;
  }
  return claim;
}

t.test('what a peer had is asked for at once when that peer falls silent', async (t) => {
  for (const [silent, at] of [
    ['winner', 0],
    ['another', 4800],
  ] as const) {
    const claim = lostTo('winner');
    claim.silent(silent);
    t.equal(claim.retryAt, at, silent);
  }
});

t.test('a stranger stays in the way, whoever falls silent', async (t) => {
  const claim = lostTo('winner');
  claim.want(wanted, 10_000);
  claim.conflicted('02:00:00:00:00:ee', true, 10_000);
  const { retryAt } = claim;
  claim.silent('winner');
  t.equal(claim.retryAt, retryAt);
});
