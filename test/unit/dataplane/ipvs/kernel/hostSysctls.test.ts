/** Kernel parameters by version. */
import t from 'tap';
import { hostSysctls } from '../../../../../src/dataplane/ipvs/kernel/hostSysctls.js';

function reuse(release: string): string | undefined {
  return hostSysctls(release, false).wanted.find(({ name }) => name.endsWith('conn_reuse_mode'))?.value;
}

t.test('conn_reuse_mode depends on the kernel, and the log says why', async (t) => {
  const cases: readonly [release: string, value: string | undefined, why: RegExp][] = [
    ['3.10.0-1160.el7', undefined, /has no net\.ipv4\.vs\.conn_reuse_mode/],
    ['4.19.0', '0', /is 0: kernel 4\.19\.0 would delay/],
    ['5.4.0-150-generic', '0', /is 0/],
    ['5.9.0', undefined, /is left as it is/],
    ['6.1.176', undefined, /without delay/],
    ['6.18.44-fc', undefined, /is left/],
  ];
  for (const [release, value, why] of cases) {
    t.equal(reuse(release), value, release);
    t.match(hostSysctls(release, false).notes.join(), why, release);
  }
});

t.test('strictARP adds its two', async (t) => {
  const names = (strict: boolean) =>
    hostSysctls('6.1.0', strict).wanted.map(({ name, value }) => `${name}=${value}`);
  t.strictSame(names(false), [
    'net/ipv4/vs/conntrack=1',
    'net/ipv4/vs/expire_nodest_conn=1',
    'net/ipv4/vs/expire_quiescent_template=1',
    'net/ipv4/ip_forward=1',
  ]);
  t.strictSame(names(true).slice(4), ['net/ipv4/conf/all/arp_ignore=1', 'net/ipv4/conf/all/arp_announce=2']);
});
