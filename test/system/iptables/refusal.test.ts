/** What iptables really says to a rule it does not take, in both backends, and what becomes of all other Services. */

import t from 'tap';
import { FamilySync } from '../../../src/dataplane/iptables/FamilySync.js';
import type { RuleSettings } from '../../../src/dataplane/iptables/rules/RuleSettings.js';
import { renderServicePort } from '../../../src/dataplane/iptables/rules/renderServicePort.js';
import { RestoreError } from '../../../src/kernel/xtables/RestoreError.js';
import { RestoreInput } from '../../../src/kernel/xtables/RestoreInput.js';
import { XtablesTool } from '../../../src/kernel/xtables/XtablesTool.js';
import { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { systemClock } from '../../../src/time/Clock.js';
import { upserts } from '../../support/goldenTable.js';
import { inNetns } from '../../support/inNetns.js';
import { savedRules, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';

const SETTINGS: RuleSettings = {
  family: 'IPv4',
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  localTraffic: undefined,
  localhostNodePorts: false,
  nodePortAddresses: 'all',
  randomFully: true,
  conntrackLiberal: false,
  accounting: false,
};

/** The kernel has no such nfacct object: the text is right, the kernel refuses. */
const REFUSED = '-m nfacct --nfacct-name penstock-no-such';

function shop(count: number): RoutingTable {
  const options = { nodeName: 'node1', serviceProxyName: '', fallbackAddresses: {}, fixedAddresses: {} };
  const table = new RoutingTable(options);
  for (let i = 0; i < count; i++) {
    const endpoints = [`10.1.${i}.1`, `10.1.${i}.2`];
    table.apply(upserts(shopObjects({ name: `s${i}`, clusterIP: `172.30.0.${i + 1}`, endpoints })));
  }
  return table;
}

if (await inNetns(import.meta.url)) {
  for (const backend of ['nft', 'legacy'] as const) {
    const program = `iptables-${backend}`;

    t.test(`a refused service port is set aside, all others are programmed (${backend})`, async (t) => {
      const tool = await XtablesTool.open('IPv4', program);
      let refused = new Set(['shop/s3:http/TCP', 'shop/s7:http/TCP']);
      let clock = 0;
      const sync = new FamilySync({
        tool,
        retryMs: 1000,
        clock: { ...systemClock, now: () => clock },
        render: (port, settings, comments) => {
          const rendered = renderServicePort(port, settings, comments);
          if (!refused.has(port.key)) return rendered;
          const own = rendered.own.map(({ name, text }) => ({
            name,
            text: `${text}-A ${name} ${REFUSED}\n`,
          }));
          return { ...rendered, own };
        },
      });
      const table = shop(10);
      sync.take(table.commit().families.IPv4);
      const report = await sync.sync(table.servicePorts('IPv4'), SETTINGS);
      t.equal(report.kind, 'full');
      t.same(sync.problems.map((p) => p.subject).sort(), ['Service shop/s3', 'Service shop/s7']);
      t.match(sync.problems[0]?.message, /port http\/TCP \(IPv4\) is set aside.*refused the rules/);
      if (backend === 'nft') t.match(sync.problems[0]?.message, /line \d+ is: -A KUBE-S.*penstock-no-such/);
      const programmed = savedRules(program);
      for (let i = 0; i < 10; i++) {
        const wanted = i !== 3 && i !== 7;
        t.equal(
          programmed.includes(`-d 172.30.0.${i + 1}/32`),
          wanted,
          `s${i} ${wanted ? 'is' : 'is not'} programmed`,
        );
      }
      t.notMatch(programmed, /PROBE/, 'the search leaves nothing behind');

      refused = new Set();
      clock = 500;
      await sync.sync(table.servicePorts('IPv4'), SETTINGS);
      t.equal(sync.problems.length, 2, 'not tried again too early');
      clock = 1500;
      await sync.sync(table.servicePorts('IPv4'), SETTINGS);
      t.same(sync.problems, [], 'accepted once its time has come');
      t.match(savedRules(program), /-d 172\.30\.0\.4\/32/);
      shell(`${program} -t nat -F; ${program} -t nat -X; ${program} -F; ${program} -X`);
    });

    t.test(`errors name the line, sections before it are in force (${backend})`, async (t) => {
      const tool = await XtablesTool.open('IPv4', program);
      const attempt = async (badRule: string) => {
        const input = new RestoreInput();
        input.add('*nat\n:GOOD - [0:0]\nCOMMIT\n');
        input.add('*nat\n:BAD - [0:0]\n');
        input.add('-A BAD -j RETURN\n', 'other');
        input.add(`-A BAD ${badRule}\n`, 'culprit');
        input.add('COMMIT\n');
        const error = await tool.restore(input).catch((e: unknown) => e);
        t.match(shell(`${program} -t nat -S`), /-N GOOD/);
        t.notMatch(shell(`${program} -t nat -S`), /-N BAD/);
        return error instanceof RestoreError ? error : undefined;
      };
      for (const bad of ['-p tcp --dport 99999999', '-m no-such-match', '-s 1.2.3.999']) {
        t.match(await attempt(bad), { line: 7, owner: 'culprit', transient: false }, bad);
      }
      const kernel = await attempt(REFUSED);
      t.equal(kernel?.owner, backend === 'nft' ? 'culprit' : undefined, 'a refusal by the kernel');
      shell(`${program} -t nat -X GOOD`);
    });
  }

  t.test('rules are the same however the input is cut', async (t) => {
    const tool = await XtablesTool.open('IPv4', 'iptables-nft');
    const table = shop(200);
    for (let i = 0; i < 200; i++) {
      const endpoints = Array.from({ length: 9 }, (_, n) => `10.1.${i}.${n + 1}`);
      table.apply(upserts(shopObjects({ name: `s${i}`, clusterIP: `172.30.0.${i + 1}`, endpoints })));
    }
    const changes = table.commit().families.IPv4;
    const sync = new FamilySync({ tool, retryMs: 1000 });
    sync.take(changes);
    const { transactions } = await sync.sync(table.servicePorts('IPv4'), SETTINGS);
    t.ok(transactions > 6, `2,000 chains take ${transactions} transactions`);
    const cut = savedRules('iptables-nft');
    sync.requireFull();
    await sync.sync(table.servicePorts('IPv4'), SETTINGS);
    t.equal(savedRules('iptables-nft'), cut, 'written again: the same');
    shell('nft flush ruleset');
    const legacy = await XtablesTool.open('IPv4', 'iptables-legacy');
    const whole = new FamilySync({ tool: legacy, retryMs: 1000 });
    whole.take(changes);
    await whole.sync(table.servicePorts('IPv4'), SETTINGS);
    const chains = (text: string) => text.split('\n').sort().join('\n');
    t.equal(
      chains(savedRules('iptables-legacy')),
      chains(cut),
      'in one piece, with the other backend: the same',
    );
  });
}
