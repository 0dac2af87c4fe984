import { execFileSync } from 'node:child_process';
import t from 'tap';
import { NetlinkProtocol } from '../../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import type { Link } from '../../../../src/kernel/routes/Link.js';
import { Links } from '../../../../src/kernel/routes/Links.js';
import { setLocalSources } from '../../../../src/kernel/routes/localSources.js';
import type { IpAddress } from '../../../../src/net/ip.js';
import { inNetns } from '../../../support/inNetns.js';

const ip = (...args: readonly string[]) => execFileSync('ip', args, { encoding: 'utf8' });

if (await inNetns(import.meta.url)) {
  t.test('connections to an own address come from another one, which stays when the link goes', async (t) => {
    ip('link', 'add', 'vips', 'type', 'veth', 'peer', 'name', 'peer');
    ip('address', 'add', '172.30.0.1/32', 'dev', 'vips');
    ip('link', 'set', 'lo', 'up');
    ip('address', 'add', '192.0.2.1/32', 'dev', 'lo');
    t.match(ip('route', 'get', '172.30.0.1'), /^local 172\.30\.0\.1 .*src 172\.30\.0\.1 /);
    const channel = NetlinkChannel.open(NetlinkProtocol.ROUTE);
    t.teardown(() => channel.close());
    const link = (await new Links(channel).find('vips')) as Link;
    const change = (source: string) => ({
      address: '172.30.0.1' as IpAddress,
      link,
      source: source as IpAddress,
    });
    t.same(await setLocalSources(channel, [change('192.0.2.1')]), []);
    t.match(ip('route', 'get', '172.30.0.1'), /^local 172\.30\.0\.1 .*src 192\.0\.2\.1 /);
    t.match(await setLocalSources(channel, [change('192.0.2.9')]), [
      { error: { code: 'EINVAL', message: /route replace local 172\.30\.0\.1 dev vips src 192\.0\.2\.9/ } },
    ]);
    ip('link', 'delete', 'vips');
    t.notMatch(ip('route', 'show', 'table', 'local'), /172\.30\.0\.1/);
  });
}
