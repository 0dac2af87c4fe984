/** Marks of service ports: unique, never the bit to masquerade, never kubelet's, found again. */
import fc from 'fast-check';
import t from 'tap';
import {
  CLUSTER_CLIENT_TAG,
  MOST_MARKS,
  markOf,
  numberOf,
  tagOf,
} from '../../../../src/dataplane/ipvs/desired/clusterClientMark.js';
import { MarkNumbers } from '../../../../src/dataplane/ipvs/desired/MarkNumbers.js';

/** kubelet drops what has it (KUBE-FIREWALL). */
const KUBELET_DROP = 0x8000;

t.test('every number has a mark of its own, for every bit to masquerade', async (t) => {
  for (let bit = 0; bit < 32; bit++) {
    const masquerade = (1 << bit) >>> 0;
    const marks = new Set<number>();
    for (let number = 0; number < MOST_MARKS; number++) {
      const mark = markOf(number, masquerade);
      marks.add(mark);
      if (((mark & masquerade) | (mark & KUBELET_DROP)) !== 0 || numberOf(mark, masquerade) !== number) {
        t.fail(`bit ${bit}, number ${number}: mark ${mark.toString(16)}`);
      }
      if ((mark & Number(CLUSTER_CLIENT_TAG)) >>> 0 !== Number(tagOf(masquerade)))
        t.fail(`tag of bit ${bit}`);
    }
    t.equal(marks.size, MOST_MARKS, `bit ${bit}`);
  }
});

t.test('other marks are nobody’s', async () => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), (mark) => {
      const number = numberOf(mark, 0x4000);
      return number === undefined || markOf(number, 0x4000) === mark;
    }),
  );
});

t.test('numbers are given out, kept, and taken back', async (t) => {
  const numbers = new MarkNumbers();
  numbers.adopt('a', 0);
  numbers.adopt('b', 0);
  t.equal(numbers.get('b'), undefined, 'taken by another');
  t.equal(numbers.take('b'), 1);
  t.equal(numbers.take('a'), 0);
  numbers.release('a');
  t.equal(numbers.get('a'), undefined);
  const given = Array.from({ length: MOST_MARKS - 1 }, (_, i) => numbers.take(`x${i}`));
  t.equal(new Set(given).size, MOST_MARKS - 1);
  t.equal(numbers.take('one too many'), undefined);
  numbers.release('b');
  t.equal(numbers.take('one too many'), 1);
});
