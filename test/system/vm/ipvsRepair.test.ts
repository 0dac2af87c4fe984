/** Mode ipvs: what others change is named and put right. */
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inVm } from '../../support/inVm.js';
import { eventually, shell } from '../../support/iptables.js';
import { CART, everything, LIMIT_MS, READY_MS, settings } from '../../support/ipvsAgent.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';

type Change = readonly [what: string, command: string, said: RegExp];

const CHANGES: readonly Change[] = [
  [
    'real server',
    'ipvsadm -d -t 172.30.0.1:80 -r 10.1.0.1:8080',
    /real server 10\.1\.0\.1:8080 of virtual server 172/,
  ],
  ['weight', 'ipvsadm -e -t 172.30.0.1:80 -r 10.1.0.1:8080 -m -w 9', /has another weight/],
  ['all virtual servers', 'ipvsadm -C', /virtual server 172\.30\.0\.1:80\/TCP is gone/],
  ['element', 'ipset del KUBE-CLUSTER-IP 172.30.0.1,tcp:80', /of set KUBE-CLUSTER-IP is gone/],
  ['link', 'ip link del kube-ipvs0', /on kube-ipvs0 is gone/],
  ['rules', 'iptables-legacy -t nat -F KUBE-SERVICES', /KUBE-SERVICES \(table nat\)/],
  ['jumps', 'iptables-legacy -t mangle -F INPUT', /the jump from INPUT to PENSTOCK-POLICY/],
];

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(CART.endpoints);
  t.teardown(() => server.close());

  t.test('each of them', async (t) => {
    t.setTimeout(LIMIT_MS);
    await using agent = new AgentProcess(settings('ipvs'));
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    await agent.ready(READY_MS);
    const before = everything();
    for (const [what, command, said] of CHANGES) {
      agent.output = '';
      shell(command);
      t.ok(await eventually(() => everything() === before, 60_000), `${what}: repaired`);
      t.ok(await eventually(() => said.test(agent.output)), `${what}: named`);
    }
    await agent.end('SIGTERM');
  });
}
