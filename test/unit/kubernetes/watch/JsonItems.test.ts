import t from 'tap';
import { JsonItems } from '../../../../src/kubernetes/watch/JsonItems.js';

const LIST = {
  kind: 'List',
  metadata: { items: ['no'], note: 'ä"items":[{' },
  items: [{ a: '}]\\"{', b: [[{ c: 'ü€' }]] }, {}, { metadata: { items: [{}] } }],
  last: 'items',
};

t.test('a list in chunks of any size', async (t) => {
  const bytes = Buffer.from(JSON.stringify(LIST));
  for (let size = 1; size <= bytes.length; size++) {
    const items: unknown[] = [];
    const reader = new JsonItems((item) => items.push(item));
    for (let i = 0; i < bytes.length; i += size) reader.push(bytes.subarray(i, i + size));
    t.strictSame({ ...(reader.end() as object), items }, LIST, `${size} bytes`);
  }
  t.throws(() => new JsonItems(() => undefined).end(), SyntaxError, 'nothing at all');
});
