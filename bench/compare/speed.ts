/** How long until a contender serves, how long until a change reaches a client, and what it costs. */
import { mkdtempSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from '../../src/cli/see/selftest/dial.js';
import { PODS, selftestObjects } from '../../src/cli/see/selftest/objects.js';
import { PEER_PORT } from '../../src/cli/see/selftest/runPeer.js';
import { serveApi } from '../../test/support/serveApi.js';
import { rawObjects } from '../objects.js';
import { apiServerWith, putServed } from './asServed.js';
import { Contender, type ContenderCommand } from './Contender.js';

export interface SpeedTask {
  readonly contender: ContenderCommand;
  readonly services: number;
  readonly endpoints: number;
  readonly changes: number;
  readonly patienceMs: number;
}

export interface SpeedResult {
  /** From the start of the process to the first connection that is answered, through the Service that was made last. */
  readonly servesMs: number;
  /** From the write of an EndpointSlice to the first connection that reaches its new endpoint. */
  readonly changeMs: readonly number[];
  /** Until it served; of itself, and of tools that it started. */
  readonly cpuSelfS: number;
  readonly cpuToolsS: number;
  readonly cpuPerChangeS: number;
  readonly rssMb: number;
  readonly peakMb: number;
}

const LIVE: Target = { host: '172.31.255.1', port: 80, protocol: 'TCP' };
/**
 * Milliseconds: longer than minSyncPeriod (1 s in both), which would else be what is measured; after the last change, for what is left to
 * do.
 */
const PAUSE_MS = 1300;
const REST_MS = 2500;

/** In namespaces with the pods of the selftest. */
export async function speed({
  contender,
  services,
  endpoints,
  changes,
  patienceMs,
}: SpeedTask): Promise<SpeedResult> {
  const node = selftestObjects().filter((object) => 'kind' in object && object.kind === 'Node');
  const server = apiServerWith([...node, ...rawObjects(services - 1, endpoints), LIVE_SERVICE, liveSlice(0)]);
  const api = await serveApi(server);
  const proxy = new Contender(contender, {
    folder: mkdtempSync('/run/compare-'),
    server: api.url,
    families: ['IPv4'],
  });
  try {
    const servesMs = await proxy.serves([LIVE], patienceMs);
    const atStart = proxy.usage();
    const changeMs: number[] = [];
    for (let i = 1; i <= changes; i++) {
      await sleep(PAUSE_MS);
      putServed(server, liveSlice(i));
      changeMs.push(await proxy.answeredBy(LIVE, `${podOf(i).IPv4}:${PEER_PORT}`, patienceMs));
    }
    await sleep(REST_MS);
    const { rssMb, peakMb, ...atEnd } = proxy.usage();
    const cpu = atEnd.cpuSelfS + atEnd.cpuToolsS - atStart.cpuSelfS - atStart.cpuToolsS;
    const { cpuSelfS, cpuToolsS } = atStart;
    return { servesMs, changeMs, cpuSelfS, cpuToolsS, cpuPerChangeS: cpu / changes, rssMb, peakMb };
  } finally {
    await proxy.end();
    await api.close();
  }
}

const podOf = (i: number) => PODS[i % 2 === 0 ? 0 : 1];

/** Last by name too. */
const NAME = { namespace: 'zz-live', name: 'live' };
const LIVE_SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: NAME,
  spec: {
    clusterIP: LIVE.host,
    ipFamilies: ['IPv4'],
    ports: [{ name: 'http', port: LIVE.port, targetPort: PEER_PORT }],
  },
};

function liveSlice(i: number): object {
  const { IPv4, node } = podOf(i);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...NAME, labels: { 'kubernetes.io/service-name': NAME.name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: PEER_PORT }],
    endpoints: [
      { addresses: [IPv4], nodeName: node, conditions: { ready: true, serving: true, terminating: false } },
    ],
  };
}
