/** What the kernel is told where it has addresses of Services itself. */
import t from 'tap';
import { QuietKernel } from '../../../../src/balancer/layer2/QuietKernel.js';

function world(values: Record<string, string>, refuses = false) {
  const lines: string[] = [];
  const say = (...words: unknown[]) => void lines.push(String(words.at(-1)));
  const sysctls = {
    read: (name: string) => values[name],
    ensure: (name: string, value: string) => {
      if (refuses) throw new Error('EROFS');
      values[name] = value;
      return 'written' as const;
    },
  };
  return { kernel: new QuietKernel(sysctls, { info: say, warn: say }), values, lines };
}

const IGNORE = 'net/ipv4/conf/eth0/arp_ignore';
const ANNOUNCE = 'net/ipv4/conf/eth0/arp_announce';

t.test('the interface alone is told, and again when somebody changed it', async (t) => {
  const { kernel, values, lines } = world({ 'net/ipv4/conf/all/arp_ignore': '0' });
  kernel.keep(['eth0']);
  kernel.keep(['eth0']);
  t.same(values, { 'net/ipv4/conf/all/arp_ignore': '0', [IGNORE]: '1', [ANNOUNCE]: '2' });
  t.equal(lines.length, 2);
  values[IGNORE] = '0';
  kernel.keep(['eth0']);
  t.equal(values[IGNORE], '1');
  kernel.keep(['eth0', 'eth1']);
  t.equal(values['net/ipv4/conf/eth1/arp_ignore'], '1');
});

t.test('what is strict already stays', async (t) => {
  const before = {
    'net/ipv4/conf/all/arp_ignore': '1',
    'net/ipv4/conf/all/arp_announce': '2',
    [IGNORE]: '8',
  };
  const { kernel, values, lines } = world({ ...before });
  kernel.keep(['eth0']);
  t.same(values, before);
  t.same(lines, []);
});

t.test(
  'a value that answers for other interfaces is greater than ours, so a person has to change it',
  async (t) => {
    const { kernel, values, lines } = world({ 'net/ipv4/conf/all/arp_ignore': '3', [ANNOUNCE]: '2' });
    kernel.keep(['eth0']);
    t.equal(values[IGNORE], undefined);
    t.match(lines, [/arp_ignore is 3: .*another node announces.*→ Set it, and that of "all", to 1\./]);
  },
);

t.test('read-only parameters keep nobody from anything', async (t) => {
  const { kernel, lines } = world({}, true);
  kernel.keep(['eth0']);
  kernel.keep(['eth0']);
  t.equal(lines.length, 2, 'said once');
  t.match(lines, [/arp_ignore stays 0, so .*EROFS/, /arp_announce stays 0/]);
});
