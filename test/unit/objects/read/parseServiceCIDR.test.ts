import t from 'tap';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import type { ServiceCIDR } from '../../../../src/objects/ServiceCIDR.js';
import { serviceCIDRManifest, verdict } from '../samples.js';

function parse(raw: unknown): ServiceCIDR {
  const result = parseObject(raw);
  if (result.type !== 'object' || result.object.kind !== 'ServiceCIDR') throw new Error(verdict(raw));
  return result.object;
}

t.test('one range, or one of each family, in canonical form', async (t) => {
  const one = { kind: 'ServiceCIDR', name: 'kubernetes', cidrs: ['10.96.0.0/12'] };
  t.strictSame(parse(serviceCIDRManifest()), one);
  const both = parse(serviceCIDRManifest(['FD00:96::7/112', '10.96.3.4/16'], { name: 'more.ranges' }));
  t.strictSame(both, { kind: 'ServiceCIDR', name: 'more.ranges', cidrs: ['fd00:96::/112', '10.96.0.0/16'] });
});

t.test('it belongs to no namespace', async (t) => {
  t.strictSame(
    parse(serviceCIDRManifest(['10.96.0.0/12'], { namespace: 'Not A Name' })),
    parse(serviceCIDRManifest()),
  );
});

t.test('ranges that cannot be', async (t) => {
  const least = 'must be a list of one CIDR, or of one of each IP family';
  const cases: readonly [cidrs: unknown, fault: string][] = [
    [null, `cidrs is missing, ${least}`],
    [[], `cidrs is an empty list, ${least}`],
    ['10.96.0.0/12', 'cidrs is "10.96.0.0/12", must be a list'],
    [['10.96.0.0'], 'cidrs[0] is "10.96.0.0", must be a CIDR such as 10.96.0.0/12'],
    [['::ffff:10.96.0.0/108'], 'cidrs[0] is "::ffff:10.96.0.0/108", must be a CIDR such as 10.96.0.0/12'],
    [['0.0.0.0/0'], 'cidrs[0] is "0.0.0.0/0", must be less than all addresses of its family'],
    [
      ['10.96.0.0/12', '10.112.0.0/12'],
      'cidrs[1] is "10.112.0.0/12", must be the only CIDR of its IP family',
    ],
    [
      ['10.96.0.0/12', 'fd00::/112', 'fd01::/112'],
      'cidrs[2] is "fd01::/112", must be the only CIDR of its IP family',
    ],
  ];
  for (const [cidrs, fault] of cases)
    t.equal(verdict(serviceCIDRManifest(cidrs)), `ServiceCIDR kubernetes: spec.${fault}`);
  const withoutSpec = { ...serviceCIDRManifest(), spec: undefined };
  t.equal(verdict(withoutSpec), `ServiceCIDR kubernetes: spec.cidrs is missing, ${least}`);
});
