/** Mode ipvs beside what others made: never changed, and named where it is in the way. */
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inVm } from '../../support/inVm.js';
import { eventually, shell } from '../../support/iptables.js';
import { CART, cleanUp, everything, LIMIT_MS, READY_MS, servers, settings } from '../../support/ipvsAgent.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(CART.endpoints);
  t.teardown(() => server.close());

  t.test('what others made is there, byte for byte, after cleanup', async (t) => {
    t.setTimeout(LIMIT_MS);
    shell(
      'ipvsadm -A -t 192.0.2.99:80 -s wlc; ipvsadm -a -t 192.0.2.99:80 -r 10.9.9.9:80 -m -w 7; ' +
        'ipvsadm -A -f 5 -s rr; ipset create others hash:ip; ipset add others 192.0.2.1; ' +
        'iptables-legacy -N OTHERS; iptables-legacy -A INPUT -m set --match-set others src -j OTHERS',
    );
    const before = everything();
    const parameter = shell('cat /proc/sys/net/ipv4/vs/conntrack');
    await using agent = new AgentProcess(settings('ipvs'));
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    await agent.ready(READY_MS);
    t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'it serves');
    t.match(servers(), /-A -t 172\.30\.0\.1:80 -s rr\n/);
    await agent.end('SIGTERM');
    t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'it serves without agent');
    t.match(shell(`${PENSTOCK} cleanup --dry-run`), /virtual server 172\.30\.0\.1:80\/TCP would be removed/);
    t.match(servers(), /172\.30\.0\.1:80/, 'a dry run changes nothing');
    cleanUp();
    t.equal(everything(), before);
    t.equal(shell('cat /proc/sys/net/ipv4/vs/conntrack'), parameter);
    shell('iptables-legacy -F INPUT; iptables-legacy -X OTHERS; ipset destroy others; ipvsadm -C');
  });

  t.test(
    'a restart writes nothing; a foreign virtual server in the way is named and left alone',
    async (t) => {
      t.setTimeout(LIMIT_MS);
      shell('ipvsadm -A -t 172.30.0.2:80 -s lc; ipvsadm -a -t 172.30.0.2:80 -r 10.9.9.9:80 -m');
      await using agent = new AgentProcess(settings('ipvs'));
      agent.write('cart.json', shopObjects(CART));
      agent.write('pay.json', shopObjects({ ...CART, name: 'pay', clusterIP: '172.30.0.2' }));
      agent.start();
      await agent.ready(READY_MS);
      t.match(agent.output, /Service shop\/pay.*somebody else made virtual server 172\.30\.0\.2:80\/TCP/);
      const before = everything();
      t.match(before, /-a -t 172\.30\.0\.2:80 -r 10\.9\.9\.9:80 -m -w 1\n/);
      t.notMatch(before, /-a -t 172\.30\.0\.2:80 -r 10\.1/);
      await agent.end('SIGTERM');
      agent.output = '';
      agent.start();
      await agent.ready(READY_MS);
      t.equal(everything(), before);
      t.notMatch(agent.output, /somebody changed our rules/);

      shell('ipvsadm -D -t 172.30.0.2:80');
      t.ok(
        await eventually(() => /-a -t 172\.30\.0\.2:80 -r 10\.1\.0\.1/.test(servers()), 60_000),
        'now it is ours',
      );
      await agent.end('SIGTERM');
      cleanUp();
    },
  );
}
