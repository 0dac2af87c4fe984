/**
 * What penstock writes for the objects that stock kube-proxy 1.36.2 was recorded with is what stock wrote: same chains,
 * same rules, same order inside chains.
 *
 * Known differences:
 *   apiserver   the recording contains the API server's own Service default/kubernetes, which is in no manifest
 *   firewall    stock makes the empty IPv6 chain KUBE-FIREWALL with `ip6tables -N`, penstock in the same restore
 *   order       in chains shared by Services stock's order is random; penstock sorts by service port
 */
import t from 'tap';
import { renderFamily } from '../../../../src/dataplane/iptables/renderFamily.js';
import { sameRules } from '../../../support/compareRules.js';
import { GOLDEN_OPTIONS, goldenTable } from '../../../support/goldenTable.js';
import { needsShared, readShared } from '../../../support/shared.js';

interface Call {
  readonly argv?: readonly string[];
  readonly stdin?: string;
}

/** The input of the first run of the tool. */
function recordedInput(program: string): string {
  const calls = readShared('stock/golden/iptables/trace.jsonl').trim().split('\n');
  const found = calls.map((line) => JSON.parse(line) as Call).find((call) => call.argv?.[0] === program);
  return found?.stdin ?? '';
}

const apiserver = (rule: string) => rule.includes('default/kubernetes');

t.test('render of the recorded objects equals what stock kube-proxy wrote', needsShared, async (t) => {
  const table = goldenTable();
  table.commit();
  for (const [family, program] of [
    ['IPv4', 'iptables-restore'],
    ['IPv6', 'ip6tables-restore'],
  ] as const) {
    const stock = recordedInput(program);
    t.ok(stock.includes('KUBE-SVC-'), `${program} was recorded`);
    sameRules(t, renderFamily(family, table, GOLDEN_OPTIONS), stock, family, apiserver);
  }
});
