import t from 'tap';
import {
  type ManifestObject,
  type ParsedManifest,
  parseManifest,
} from '../../../../src/kubernetes/manifests/parseManifest.js';

function objectsOf(parsed: ParsedManifest): readonly ManifestObject[] {
  if ('fault' in parsed) throw new Error(parsed.fault.message);
  return parsed.objects;
}

async function summary(text: string, extension = '.yaml'): Promise<unknown[]> {
  const objects = objectsOf(await parseManifest(text, extension));
  return objects.map(({ raw, line, kind, apiVersion }) => [raw, line, apiVersion, kind]);
}

t.test('documents and their lines', async (t) => {
  const text = '# comment\nkind: A\n---\n\n---\n# more\n\nkind: B\nx: 1\n---\n';
  t.strictSame(await summary(text), [
    [{ kind: 'A' }, 2, undefined, undefined],
    [{ kind: 'B', x: 1 }, 8, undefined, undefined],
  ]);
});

t.test('a text without a document has no objects', async (t) => {
  for (const text of ['', '\n', '# only a comment\n', '---\n---\n', 'null\n'])
    t.strictSame(await summary(text), [], text);
});

t.test('lists are taken apart', async (t) => {
  const list = 'apiVersion: v1\nkind: List\nitems:\n- kind: A\n\n-\n  kind: B\n';
  t.strictSame(await summary(list), [
    [{ kind: 'A' }, 4, undefined, undefined],
    [{ kind: 'B' }, 7, undefined, undefined],
  ]);
  const typed = 'apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: a}\n';
  t.strictSame(await summary(typed), [[{ metadata: { name: 'a' } }, 4, 'v1', 'Service']]);
  t.strictSame(await summary('kind: List\nitems: null\n'), []);
  const json = '{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSliceList","items":[{}]}';
  t.strictSame(await summary(json, '.json'), [[{}, undefined, 'discovery.k8s.io/v1', 'EndpointSlice']]);
  t.strictSame(
    await summary('kind: CheckList\nspec: 1\n'),
    [[{ kind: 'CheckList', spec: 1 }, 1, undefined, undefined]],
    'a kind that only ends like a list',
  );
});

t.test('JSON and YAML are told apart by the text', async (t) => {
  t.strictSame(await summary(' \n{"kind": "A"}'), [[{ kind: 'A' }, undefined, undefined, undefined]]);
  t.strictSame(await summary('{kind: A}'), [[{ kind: 'A' }, 1, undefined, undefined]]);
  t.strictSame(await summary('{"kind": "A"}\n---\n{"kind": "B"}\n'), [
    [{ kind: 'A' }, 1, undefined, undefined],
    [{ kind: 'B' }, 3, undefined, undefined],
  ]);
});

t.test('anchors, aliases and merge keys work', async (t) => {
  t.strictSame(await summary('a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n'), [
    [{ a: { b: 1 }, c: { b: 1 }, d: { b: 1, e: 2 } }, 1, undefined, undefined],
  ]);
});

t.test('faults say the line and the cause', async (t) => {
  const levels = 'bcdefghij'.split('').map((name, i) => {
    const previous = String.fromCharCode('a'.charCodeAt(0) + i);
    return `${name}: &${name} [${new Array(10).fill(`*${previous}`).join(',')}]`;
  });
  const bomb = `a: &a x\n${levels.join('\n')}\n`;
  const cases: [name: string, text: string, extension: string, line: number | undefined, message: RegExp][] =
    [
      ['YAML', 'kind: A\n---\nkind: B\n  x: 1\n', '.yaml', 3, /^not valid YAML: /],
      ['equal keys', 'kind: A\nx: 1\nkind: B\n', '.yaml', 3, /^not valid YAML: .*unique/],
      ['cut off', 'kind: A\nports: [1,\n', '.yml', 3, /^not valid YAML: /],
      ['unknown alias', '---\n---\na: *b\n', '.yaml', 3, /^not readable as YAML: .*alias/],
      ['alias bomb', bomb, '.yaml', 1, /^not readable as YAML: .*alias/],
      ...['[', '- ', '{a: ', '? '].map((text): [string, string, string, undefined, RegExp] => [
        `nesting of ${text}`,
        text.repeat(50_000),
        '.yaml',
        undefined,
        /^not readable as YAML: nested deeper than 100 levels$/,
      ]),
      ['JSON with a stray word', '{"a": 1,\n"b": x\n}', '.json', undefined, /^not valid JSON: .*x/],
      ['JSON', '{\n"a": 1,\n"b" 2\n}', '.json', 3, /^not valid JSON: /],
      ['JSON cut off', '{\n"a": 1,\n"b":\n', '.json', 3, /^not valid JSON: /],
      ['empty JSON', '', '.json', 1, /^not valid JSON: /],
      ['list without a list', 'kind: List\nitems: 7\n', '.yaml', 1, /^items of List must be a list$/],
    ];
  for (const [name, text, extension, line, message] of cases) {
    const parsed = await parseManifest(text, extension);
    const fault = 'fault' in parsed ? parsed.fault : undefined;
    t.match(fault?.message, message, name);
    t.equal(fault?.line, line, `line of ${name}`);
    t.notMatch(fault?.message, /\n/, 'one line');
  }
});

/** Milliseconds of processor time. */
async function cost(action: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage().user;
  await action();
  return (process.cpuUsage().user - before) / 1000;
}

t.test('what is large costs in proportion, and others get their turn', async (t) => {
  const map = (count: number) =>
    `a:\n${Array.from({ length: count }, (_, i) => `  key${i}: ${i}\n`).join('')}`;
  await parseManifest(map(2000), '.yaml');
  const small = await cost(() => parseManifest(map(5000), '.yaml'));
  const large = await cost(() => parseManifest(map(20_000), '.yaml'));
  t.ok(large < small * 8 + 200, `${large} ms for 20,000 keys, ${small} for 5,000`);

  const list = `kind: List\n${map(3000)}items:\n${'- {kind: A}\n'.repeat(3000)}`;
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  const parsed = await parseManifest(list, '.yaml');
  clearInterval(counting);
  t.equal(objectsOf(parsed).length, 3000);
  t.ok(turns > 2, `${turns} turns`);
});

t.test('a key that is there twice is found wherever it is', async (t) => {
  const cases: [text: string, line: number][] = [
    ['a: 1\nb: {c: 1, c: 2}\n', 2],
    ['a:\n- x: 1\n  y: 2\n  x: 3\n', 4],
    ['a: {b: [{c: 1, "c": 2}]}\n', 1],
  ];
  for (const [text, line] of cases) {
    const parsed = await parseManifest(text, '.yaml');
    t.match(parsed, { fault: { line, message: /^not valid YAML: Map keys must be unique/ } }, text);
  }
});

t.test('more YAML than anybody writes is refused before it is read', async (t) => {
  const text = `a: ${'x'.repeat(9 * 1024 * 1024)}\n`;
  const ms = await cost(async () => {
    t.match(await parseManifest(text, '.yaml'), {
      fault: { message: /^10 MiB of YAML, at most 8 are read/ },
    });
  });
  t.ok(ms < 500, `${ms} ms`);
  const json = JSON.stringify({ kind: 'A', x: 'x'.repeat(9 * 1024 * 1024) });
  t.equal(objectsOf(await parseManifest(json, '.json')).length, 1);
});

t.test('aliases: some are fine, thousands would keep the agent busy for minutes', async (t) => {
  const pairs = (count: number, form: (i: number) => string) =>
    `${Array.from({ length: count }, (_, i) => form(i)).join('')}kind: A\n`;
  const flat = (i: number) => `x${i}: &x${i} 1\ny${i}: *x${i}\n`;
  const nested = (i: number) => `x${i}: &x${i} 1\ny${i}: &y${i} [*x${i}]\nz${i}: *y${i}\n`;
  const lists = (i: number) => `x${i}: &x${i} [1]\n? *x${i}\n: 1\n`;
  t.equal((await summary(pairs(200, flat))).length, 1);
  for (const form of [flat, nested, lists]) {
    const began = performance.now();
    const many = await parseManifest(pairs(4000, form), '.yaml');
    t.match('fault' in many && many.fault.message, /more than 200 aliases in one document/);
    t.ok(performance.now() - began < 20_000);
  }
});

t.test('JSON that is nested deeper than any object is refused, whatever its texts hold', async (t) => {
  const nested = (levels: number) => `{"kind": "A",\n"x": ${'['.repeat(levels)}${']'.repeat(levels)}}`;
  t.equal(objectsOf(await parseManifest(nested(99), '.json')).length, 1);
  t.strictSame(await parseManifest(nested(100), '.json'), {
    fault: { line: 2, message: 'not readable as JSON: nested deeper than 100 levels' },
  });
  const texts = ['['.repeat(200), '"'.concat('{'.repeat(200)), '\\', '\\"'.concat('['.repeat(200)), '\\\\'];
  const json = JSON.stringify({ kind: 'A', texts, side: Array(200).fill([[{}]]) });
  t.strictSame(objectsOf(await parseManifest(json, '.json'))[0]?.raw, JSON.parse(json));
});
