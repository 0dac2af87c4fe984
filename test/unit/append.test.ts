import t from 'tap';
import { append } from '../../src/append.js';

t.test('as many items as there are', async (t) => {
  const list = [1];
  append(list, new Set([2, 3]));
  append(list, []);
  t.same(list, [1, 2, 3]);
  append(list, Array(400_000).fill(4));
  t.equal(list.length, 400_003);
});
