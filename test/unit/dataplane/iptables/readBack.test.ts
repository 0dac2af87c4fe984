import t from 'tap';
import { readBack } from '../../../../src/dataplane/iptables/readBack.js';
import { renderServicePort } from '../../../../src/dataplane/iptables/rules/renderServicePort.js';
import { endpoint, ip, service, slice, tableOf } from '../../../support/builders.js';
import { settingsOf } from '../../../support/renderTable.js';

const table = tableOf([service({ clusterIPs: { IPv4: ip('10.96.0.1') } }), slice([endpoint('10.244.1.1')])]);
table.commit();
const PORTS = [...table.servicePorts('IPv4').values()];

function host(chains: readonly string[], legacy: readonly string[] = []) {
  return {
    nftChainExists: async (_: unknown, of: string, chain: string) => of === 'nat' && chains.includes(chain),
    legacyTables: async () => legacy,
  };
}

t.test('asks for the chains that rules are written to', async (t) => {
  const [first] = PORTS;
  if (first === undefined) throw new Error('no service port');
  const written = renderServicePort(first, settingsOf('IPv4', table), 'full').own.map(({ name }) => name);
  t.strictSame(await readBack('IPv4', PORTS, host(['KUBE-SERVICES', ...written])), { asked: 2, wrong: '' });
  const found = await readBack('IPv4', PORTS, host(['KUBE-SERVICES']));
  t.match(found?.wrong, /^chain KUBE-SVC-[A-Z2-7]{16} of shop\/cart is missing$/);
  t.match(await readBack('IPv4', PORTS, host(written)), { wrong: /chain KUBE-SERVICES .*is missing/ });
});

t.test('rules of iptables-legacy are not asked for by name', async (t) => {
  t.equal(await readBack('IPv4', PORTS, host([], ['filter', 'nat'])), undefined);
});
