import fc from 'fast-check';
import t from 'tap';
import { ALGORITHMS } from '../../../../src/balancing/Balancing.js';
import { IP_FAMILIES } from '../../../../src/net/ip.js';
import { ModelReader, modelLines } from '../../../../src/observe/admin/modelLines.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { NODE, routingChanges } from '../../../support/arbitraries.js';
import { endpoint, endpointPort, ip, port, service, slice, tableOf } from '../../../support/builders.js';

/** Hints have been heeded when endpoints were selected. */
function withoutHints(port: ServicePort): ServicePort {
  const plain = (list: ServicePort['endpoints']['all']) =>
    list.map((endpoint) => ({ ...endpoint, zoneHints: [], nodeHints: [] }));
  const { all, cluster, local, reachable, any } = port.endpoints;
  return {
    ...port,
    endpoints: {
      all: plain(all),
      cluster: plain(cluster),
      local: plain(local),
      reachable: plain(reachable),
      any,
    },
  };
}

t.test('what travels as lines is the table that was sent', async (t) => {
  fc.assert(
    fc.property(
      fc.array(routingChanges, { maxLength: 30 }),
      fc.constantFrom(...ALGORITHMS),
      (changes, algorithm) => {
        const table = tableOf([], { nodeName: NODE, algorithm });
        table.apply(changes);
        table.commit();
        const reader = new ModelReader();
        for (const line of modelLines(table)) reader.take(JSON.stringify(line));
        const view = reader.view();
        for (const family of IP_FAMILIES) {
          const sent = [...table.servicePorts(family)].map(([key, port]) => [key, withoutHints(port)]);
          t.strictSame([...(view?.servicePorts(family) ?? [])], sent);
          t.strictSame(view?.serviceCIDRs(family), table.serviceCIDRs(family));
        }
        t.strictSame(view?.node, table.node);
        t.strictSame(view?.nodeObject, table.nodeObject);
      },
    ),
    { numRuns: 200 },
  );
});

t.test(
  'the budget of a Service travels too: without it diff and status would want more than the agent writes',
  async (t) => {
    const names = Array.from({ length: 100 }, (_, i) => `p${i}`);
    const pods = Array.from({ length: 20 }, (_, i) => ip(`10.128.0.${i + 1}`));
    const weights = JSON.stringify(Object.fromEntries(pods.map((pod, i) => [pod, i % 2 === 0 ? 100 : 99])));
    const table = tableOf([
      service({
        name: 'big',
        options: { algorithm: 'maglev', weights },
        ports: names.map((name, i) => port({ name, port: 1 + i })),
      }),
      slice(
        pods.map((pod) => endpoint(pod)),
        {
          name: 'big-1',
          serviceName: 'big',
          ports: names.map((name, i) => endpointPort({ name, port: 1000 + i })),
        },
      ),
    ]);
    table.commit();
    const reader = new ModelReader();
    for (const line of modelLines(table)) reader.take(JSON.stringify(line));
    const [sent, read] = [table, reader.view()].map((view) => [
      ...(view?.servicePorts('IPv4').values() ?? []),
    ]);
    t.ok((sent?.[0]?.balancing.mostEntries ?? 0) > 0, 'it is over its budget');
    t.strictSame(
      read?.map(({ balancing }) => balancing),
      sent?.map(({ balancing }) => balancing),
    );
  },
);

t.test('an answer without lines is none', async (t) => {
  t.equal(new ModelReader().view(), undefined);
});
