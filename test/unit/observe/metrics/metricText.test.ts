import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { metricText } from '../../../../src/observe/metrics/metricText.js';
import { parseMetrics } from '../parseMetrics.js';

t.test('is what Prometheus documents', (t) => {
  const text = metricText({ name: 'x_total', help: 'A\\B\nC "quoted".', type: 'counter' }, [
    { labels: { a: '', b: 'C:\\DIR\\"FILE"\n.TXT' }, value: 3 },
    { labels: { a: 'é' }, value: 2 ** 53 },
  ]);
  t.equal(
    text,
    [
      '# HELP x_total A\\\\B\\nC "quoted".',
      '# TYPE x_total counter',
      'x_total{a="",b="C:\\\\DIR\\\\\\"FILE\\"\\n.TXT"} 3',
      'x_total{a="é"} 9007199254740992',
      '',
    ].join('\n'),
  );
  t.end();
});

t.test('a metric without series has its head only', (t) => {
  t.equal(metricText({ name: 'x', help: 'X.', type: 'gauge' }, []), '# HELP x X.\n# TYPE x gauge\n');
  t.end();
});

t.test('any value of a label can be read back', (t) => {
  const text = fc.string({ unit: fc.constantFrom('\\', '"', '\n', '{', '}', ',', '=', ' ', 'n', 'a', 'é') });
  const series = fc.record({
    labels: fc.dictionary(fc.constantFrom('a', 'b', 'ip_family'), text, { noNullPrototype: true }),
    value: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(series), (list) => {
      const page = metricText({ name: 'x', help: 'X.', type: 'gauge' }, list);
      const expected = list.map((each) => ({ name: 'x', ...each }));
      return isDeepStrictEqual(parseMetrics(page), expected);
    }),
  );
  t.end();
});
