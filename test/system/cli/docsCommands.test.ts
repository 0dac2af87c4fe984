/** What the docs tell a reader to look at with other programs, on a node where an agent serves: run as written. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { adminSocket } from '../../support/adminSocket.js';
import { readDocs } from '../../support/docs.js';
import { CLASSES, commandsIn } from '../../support/docsCommands.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, plain, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';

const HERE = 'test/system/cli/docsCommands.test.ts';
const classes = CLASSES.filter(({ run }) => !('cannot' in run) && run[0] === HERE);

/** What a line is expected to print, by a part of it. */
const PRINTS: Readonly<Record<string, RegExp>> = {
  readyz: /ok|"ready"|lastUpdated/i,
  'agent.sock': /shop\/cart|"cart"/,
  'table ip penstock-choice': /queue/,
  'map ip penstock service-ips': /172\.30\.0\.1/,
  'list ruleset': /table ip penstock \{/,
  'list table ip penstock': /172\.30\.0\.1/,
  nfnetlink_queue: /^ *\d+( +\d+){8}/,
};

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');
  t.test('commands of other programs', async (t) => {
    await using agent = new AgentProcess('mode: nftables\nclusterCIDR: 10.0.0.0/8\n');
    const cart = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] };
    const chosen = {
      name: 'chosen',
      clusterIP: '172.30.0.2',
      endpoints: ['10.1.0.1', '10.1.0.2'],
      annotations: { 'penstock.io/algorithm': 'least-connections' },
    };
    agent.write('shop.json', [...shopObjects(cart), ...shopObjects(chosen)]);
    agent.start();
    t.ok(await agent.ready());
    t.ok(await eventually(() => listedRuleset('table ip penstock-choice').includes('queue')));

    const lines = commandsIn(readDocs()).filter(({ line }) => classes.some(({ lines }) => lines.test(line)));
    t.ok(lines.length >= 7, `${lines.length} lines`);
    for (const { path, line } of lines) {
      const filled = line
        .replace('NODE:', '127.0.0.1:')
        .replace('HEALTH_CHECK_NODE_PORT', '32000')
        // Another network namespace may have the first of them.
        .replace('/run/penstock/agent.sock', await adminSocket());
      if (line.startsWith('curl ') && !existsSync('/usr/bin/curl')) {
        t.comment(`no curl here: ${line}`);
        continue;
      }
      const { status, stdout, stderr } = spawnSync(...plain('sh', '-c', filled), { encoding: 'utf8' });
      t.equal(status, 0, `${path}: ${line}: ${stderr}`);
      const prints = Object.entries(PRINTS).find(([part]) => line.includes(part))?.[1];
      t.match(stdout, prints ?? /^$/, `${path}: ${line}`);
    }
    t.match(shell('iptables -S FORWARD'), /DNAT -j ACCEPT/, 'what the docs add is there');
    await agent.end('SIGTERM');
  });
}
