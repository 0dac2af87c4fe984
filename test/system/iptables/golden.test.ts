/**
 * The rules that penstock's mode iptables leaves in a real kernel are those that stock kube-proxy left, for the recorded
 * objects and after each of the recorded changes; and its cleanup leaves what stock's cleanup left, but for KUBE-FIREWALL.
 */

import t from 'tap';
import { UNHEARD } from '../../../src/dataplane/Dataplane.js';
import { IptablesDataplane } from '../../../src/dataplane/iptables/IptablesDataplane.js';
import { Sysctls } from '../../../src/kernel/sysctl/Sysctls.js';
import { XtablesTool } from '../../../src/kernel/xtables/XtablesTool.js';
import { iptablesKernel } from '../../../src/modes/iptablesKernel.js';
import type { ObjectChange } from '../../../src/objects/ApiObject.js';
import { createLogger } from '../../../src/observe/log/createLogger.js';
import { sameRules } from '../../support/compareRules.js';
import {
  GOLDEN_OPTIONS,
  goldenObjects,
  goldenTable,
  type RawObject,
  remove,
  upsert,
} from '../../support/goldenTable.js';
import { inNetns } from '../../support/inNetns.js';
import { savedRules } from '../../support/iptables.js';
import { needsShared, readShared } from '../../support/shared.js';

const apiserver = (rule: string) => rule.includes('default/kubernetes');

/** The recorded changes of stock/golden/iptables/trace.jsonl, in order. */
function recordedChanges(): ObjectChange[][] {
  const objects = goldenObjects();
  const find = (name: string) =>
    structuredClone(objects.find((o) => o.metadata.name === name)) as RawObject & Editable;
  const replaced = find('s01-clusterip-a');
  replaced.endpoints = JSON.parse(
    JSON.stringify(replaced.endpoints).replace('"10.244.1.11"', '"10.244.1.111"'),
  );
  const emptied = find('s03-nodeport-a');
  emptied.endpoints = [];
  const remote = find('s05-lb-etp-local-a');
  remote.endpoints = remote.endpoints.filter((e) => e.nodeName !== 'node1');
  const [service, slice] = newService();
  const affinity = find('s08-affinity-10800');
  affinity.spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: 60 } };
  return [
    [upsert(replaced)],
    [upsert(emptied)],
    [upsert(remote)],
    [remove(find('s10-externalips'))],
    [upsert(slice as object), upsert(service as object)],
    [upsert(affinity)],
  ];
}

interface Editable {
  endpoints: { nodeName?: string }[];
  spec: Record<string, unknown>;
}

function newService(): object[] {
  const metadata = { namespace: 'golden', name: 's30-new' };
  const port = { name: 'web', protocol: 'TCP' };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { clusterIP: '172.30.1.30', ports: [{ ...port, port: 80 }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, name: 's30-new-a', labels: { 'kubernetes.io/service-name': 's30-new' } },
      addressType: 'IPv4',
      ports: [{ ...port, port: 8080 }],
      endpoints: [{ addresses: ['10.244.0.99'], nodeName: 'node1' }],
    },
  ];
}

if (await inNetns(import.meta.url)) {
  t.test('rules in the kernel equal the recorded ones', needsShared, async (t) => {
    const log = createLogger({ format: 'text', verbosity: 0 }, process.stderr);
    const tools = [
      await XtablesTool.open('IPv4', 'iptables-nft'),
      await XtablesTool.open('IPv6', 'ip6tables-nft'),
    ];
    const sysctls = new Sysctls(t.testdir());
    const dataplane = new IptablesDataplane(
      GOLDEN_OPTIONS,
      {
        tools,
        sysctls,
        ...iptablesKernel(tools, log),
      },
      UNHEARD,
    );
    const table = goldenTable();
    await dataplane.sync(table, table.commit());
    const compare = (file: string) => {
      for (const [program, prefix] of [
        ['iptables-nft', ''],
        ['ip6tables-nft', 'ip6'],
      ] as const) {
        const recorded = readShared(
          `stock/golden/iptables/${file}${prefix || ''}${prefix ? '' : 'ip'}tables-save.txt`,
        );
        sameRules(
          t,
          savedRules(program),
          recorded.replaceAll(/^#.*\n/gm, ''),
          `${file}${program}`,
          apiserver,
        );
      }
    };
    compare('');
    for (const [index, changes] of recordedChanges().entries()) {
      table.apply(changes);
      const report = await dataplane.sync(table, table.commit());
      t.ok(
        report.families.every((family) => family.kind !== 'full'),
        `change ${index + 1} is no full sync`,
      );
      t.equal(await dataplane.verify(), undefined, `after change ${index + 1} nothing is missing`);
      compare(`after-${index + 1}-`);
    }
    await dataplane.close();
  });
}
