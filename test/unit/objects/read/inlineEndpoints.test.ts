import t from 'tap';
import { inlineEndpoints } from '../../../../src/objects/read/inlineEndpoints.js';

const service = (endpoints: unknown, ports: unknown = [{ port: 80 }]) => ({
  metadata: { name: 'web', namespace: 'shop', annotations: { 'penstock.io/endpoints': endpoints } },
  spec: { ports },
});

t.test('endpoints of the annotation', async (t) => {
  const { endpoints, faults } = inlineEndpoints(service('10.0.0.1:8080, 10.0.0.2:8080 [fd00::1]:81'));
  t.same(faults, []);
  t.same(endpoints, {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name: 'web', namespace: 'shop' },
    subsets: [
      { addresses: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }], ports: [{ port: 8080 }] },
      { addresses: [{ ip: 'fd00::1' }], ports: [{ port: 81 }] },
    ],
  });
  const ports = [
    { name: 'a', port: 53, protocol: 'UDP' },
    { name: 'b', port: 80, targetPort: 8080 },
  ];
  t.same(inlineEndpoints(service('10.0.0.1 fd00::1', ports)).endpoints?.subsets, [
    {
      addresses: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }],
      ports: [
        { name: 'a', protocol: 'UDP', port: 53 },
        { name: 'b', port: 8080 },
      ],
    },
  ]);
});

t.test('what is bad is left out and said', async (t) => {
  for (const [text, ports, message] of [
    ['10.0.0.1:8080 nonsense', [{ port: 80 }], /"nonsense", must name ADDRESS or ADDRESS:PORT/],
    ['10.0.0.1:8080 10.0.0.2:0', [{ port: 80 }], /"10\.0\.0\.2:0", must name/],
    ['10.0.0.1:8080 10.0.0.2:70000', [{ port: 80 }], /70000", must name/],
    [
      '10.0.0.1 10.0.0.2:8080',
      [
        { name: 'a', port: 80 },
        { name: 'b', port: 81 },
      ],
      /has 2 ports: name the address alone/,
    ],
    ['10.0.0.1', [{ port: 80, targetPort: 'http' }], /targetPort "http" is no number/],
  ] as const) {
    const { faults } = inlineEndpoints(service(text, ports));
    t.match(faults.join(), message, text);
    t.equal(faults.length, 1);
  }
  const many = inlineEndpoints(
    service(Array.from({ length: 5000 }, (_, i) => `10.0.${i >> 8}.${i & 255}:80`).join(' ')),
  );
  t.match(many.faults.join(), /more than 1000/);
  for (const odd of [undefined, '', 5, {}, [], ' '])
    t.same(inlineEndpoints(service(odd)).endpoints, undefined);
  for (const odd of [
    {},
    { metadata: null },
    { metadata: { annotations: [] } },
    { metadata: { annotations: { 'penstock.io/endpoints': '10.0.0.1' } }, spec: 1 },
  ])
    t.same(inlineEndpoints(odd), { endpoints: undefined, faults: [] });
  t.same(inlineEndpoints(service('10.0.0.1', 'x')).endpoints?.subsets, [
    { addresses: [{ ip: '10.0.0.1' }], ports: [] },
  ]);
});
