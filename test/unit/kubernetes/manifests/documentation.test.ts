/** The example of docs/without-kubernetes.md is what it says: an address and two servers, and nothing to complain about. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { ManifestSet } from '../../../../src/kubernetes/manifests/ManifestSet.js';
import { parseManifest } from '../../../../src/kubernetes/manifests/parseManifest.js';
import { tableOf } from '../../../support/builders.js';
import { fromRoot } from '../../../support/fromRoot.js';

t.test('the shortest load balancer', async (t) => {
  const page = readFileSync(fromRoot('docs/without-kubernetes.md'), 'utf8');
  const block = /(?:^ {4}.*\n)+/m.exec(page.slice(page.indexOf('apiVersion') - 4))?.[0] ?? '';
  const parsed = await parseManifest(block.replaceAll(/^ {4}/gm, ''), '.yaml');
  if ('fault' in parsed) throw new Error(parsed.fault.message);
  const set = new ManifestSet();
  set.replace('web.yaml', parsed.objects);
  const { changes, problems } = set.update([]);
  t.same(problems, []);
  const table = tableOf([]);
  table.apply(changes);
  table.commit();
  const [web] = table.servicePorts('IPv4').values();
  t.same(web?.externalIPs, ['192.0.2.10']);
  t.same(
    web?.endpoints.cluster.map(({ target }) => target),
    ['10.0.0.1:8080', '10.0.0.2:8080'],
  );
  t.same(table.problems(), []);
});
