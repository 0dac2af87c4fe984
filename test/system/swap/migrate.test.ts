/** penstock migrate as an operator calls it: on a node where another proxy's rules are, and from files. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { plain, shell } from '../../support/iptables.js';
import { StandIn } from '../../support/StandIn.js';
import { needsShared, readShared } from '../../support/shared.js';
import { shopObjects } from '../../support/shopObjects.js';

const folder = mkdtempSync(join(tmpdir(), 'penstock-migrate-'));
const write = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

function migrate(...args: readonly string[]) {
  const [program, words] = plain(PENSTOCK, 'migrate', ...args);
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] };
const CONFIG = write(
  'config.yaml',
  'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: iptables\nclusterCIDR: 10.0.0.0/8\nhostnameOverride: node1\nlogging: {vmodule: []}\nportRange: 1-2\n',
);

if (await inNetns(import.meta.url)) {
  shell(
    'ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip addr add 10.200.0.10/24 dev out',
  );

  t.test('a wrong call is one line and status 2', async (t) => {
    for (const args of [
      ['-o', 'yaml'],
      ['--mode', 'fast'],
      ['--ipset', '/dev/null'],
      ['--config', '/nowhere'],
      ['more'],
    ]) {
      const { status, stdout, stderr } = migrate(...args);
      t.equal(status, 2, args.join(' '));
      t.equal(stdout, '');
      t.notMatch(stderr, /\n {4}at /, 'no stack');
    }
  });

  t.test('from files: nothing in the way, and what was not looked at is said', async (t) => {
    const objects = write(
      'cart.json',
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: shopObjects(CART) }),
    );
    new StandIn('iptables-nft').write([CART]);
    const rules = write('rules.txt', shell('iptables-save'));
    const found = migrate(
      '--manifests',
      objects,
      '--config',
      CONFIG,
      '--node',
      'node1',
      '--iptables-save',
      rules,
    );
    t.equal(found.status, 0, found.stdout + found.stderr);
    t.match(found.stdout, '# Replace kube-proxy (mode iptables) on node node1 by penstock, mode nftables');
    t.match(found.stdout, 'Nothing stands in the way. 1 Services were looked at.');
    t.match(found.stdout, /- portRange: it is for mode userspace/);
    t.match(found.stdout, /## Connections\n\n- not looked at: these are files of another place/);
  });

  t.test('what an operator must know before is named', async (t) => {
    const held = createServer().listen(30_080);
    t.teardown(() => held.close());
    const odd = {
      ...CART,
      endpoints: ['10.1.0.2'],
      annotations: { 'penstock.io/algorithm': 'maglev' },
      spec: { type: 'NodePort', sessionAffinity: 'ClientIP', port: { nodePort: 30_080 } },
    };
    const objects = write(
      'odd.json',
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: shopObjects(odd) }),
    );
    shell('iptables -I OUTPUT -d 172.30.0.1 -p tcp -j DROP; iptables -P FORWARD DROP');
    shell(
      "nft 'table inet wall { chain w { type filter hook forward priority 5; policy drop; ip daddr 172.30.0.1 drop; }; }'",
    );
    const rules = write('now.txt', shell('iptables-save'));
    const nft = shell('nft list ruleset');
    const fromFiles = migrate(
      '--manifests',
      objects,
      '--config',
      CONFIG,
      '--node',
      'node1',
      '--node-address',
      '10.200.0.10',
      '--iptables-save',
      rules,
      '-o',
      'json',
    );
    t.equal(fromFiles.status, 1, fromFiles.stderr);
    const { findings } = JSON.parse(fromFiles.stdout) as {
      findings: { section: string; level: string; subject: string; text: string }[];
    };
    const texts = findings
      .map(({ section, level, subject, text }) => `${section} ${level} ${subject}: ${text}`)
      .join('\n');
    t.match(
      texts,
      /services attend shop\/cart:http: cluster IP 172\.30\.0\.1:80\/TCP.*now 10\.1\.0\.1:8080.*then 10\.1\.0\.2:8080/,
    );
    t.match(texts, /services note shop\/cart: session affinity/);
    t.match(texts, /services note shop\/cart: annotations of penstock take effect: algorithm/);
    t.match(texts, /rules attend shop\/cart: .*filter: -A OUTPUT -d 172\.30\.0\.1\/32 -p tcp -j DROP/);
    t.match(texts, /rules attend .*FORWARD: drops what no rule accepts/);
    t.match(nft, 'table inet wall');
    // The same on the node itself: rules, ports and connections are looked at there.
    const here = migrate('--manifests', objects, '--config', CONFIG, '--node', 'node1');
    t.equal(here.status, 1, here.stderr);
    t.match(here.stdout, '# Replace kube-proxy (mode iptables) on node node1');
    t.match(here.stdout, /port 30080\/TCP: node port of shop\/cart: node.* \(pid \d+\) listens there/);
    t.match(here.stdout, 'table inet wall, chain w: ip daddr 172.30.0.1 drop');
    t.match(here.stdout, '0 connections to Services are open, 0 of them would be touched');
    shell('iptables -F OUTPUT; iptables -P FORWARD ACCEPT; nft delete table inet wall');
  });

  t.test("stock's recorded rules: every difference of mode nftables has a reason", needsShared, async (t) => {
    const objects = mkdtempSync(join(tmpdir(), 'penstock-objects-'));
    for (const name of ['objects.json', 'nodes.json'])
      writeFileSync(join(objects, name), readShared(`stock/golden/${name}`));
    const config = write('golden.yaml', readShared('stock/golden/nftables/config.yaml'));
    const found = migrate(
      '--manifests',
      objects,
      '--config',
      config,
      '--nft',
      write('rules.nft', readShared('stock/golden/nftables/nft.txt')),
    );
    t.equal(found.status, 0, found.stdout + found.stderr);
    t.match(found.stdout, 'session affinity');
  });
}
