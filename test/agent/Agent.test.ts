/** The agent with a dataplane that only takes notes. */
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import t from 'tap';
import { Agent } from '../../src/agent/Agent.js';
import { AgentMetrics } from '../../src/observe/AgentMetrics.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { runFile } from '../config/runCommand.js';

t.test('stopped while the rules are verified, it waits for that and verifies no more', async (t) => {
  const { config } = runFile('mode: nftables\npenstock: {verifyPeriod: 10ms}');
  let verifications = 0;
  let closed = false;
  const agent = new Agent({
    config: { ...config, healthz: undefined, metrics: { ...config.metrics, port: 0 } },
    sources: [],
    table: new RoutingTable({
      nodeName: 'node1',
      serviceProxyName: '',
      fallbackAddresses: {},
      fixedAddresses: {},
    }),
    dataplane: {
      description: 'none',
      sync: async () => ({ families: [], problems: [] }),
      verify: async () => {
        verifications++;
        t.notOk(closed, 'the kernel is still open to it');
        await sleep(100);
        return undefined;
      },
      close: async () => {
        closed = true;
      },
    },
    connections: { take: () => {}, clean: async () => {}, stop: async () => {} },
    metrics: new AgentMetrics(),
    pages: new Map(),
    hostAddresses: () => [],
    afterFirstSync: async () => {},
    log: pino({ level: 'silent' }),
  });
  await agent.start();
  agent.hostChanged();
  while (verifications === 0) await sleep(5);
  await agent.stop();
  t.ok(closed);
  await sleep(150);
  t.equal(verifications, 1);
});
