/** penstock allocator: gives Services of type LoadBalancer their addresses, for the whole cluster. Needs no root. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { openAllocator } from '../../balancer/allocator/openAllocator.js';
import { openApiServer } from '../../kubernetes/openApiServer.js';
import { LOAD_BALANCER_CLASS } from '../../objects/read/requestedAddresses.js';
import { EventRecorder } from '../../observe/events/EventRecorder.js';
import { createLogger } from '../../observe/log/createLogger.js';
import { systemClock } from '../../time/Clock.js';
import { readArguments } from '../readArguments.js';
import { packageVersion } from '../version.js';

export const HELP = `penstock allocator [--kubeconfig FILE] [flags]

Gives Services of type LoadBalancer their addresses, from pools (IPAddressPool of
penstock.io or of MetalLB). Runs once a cluster, better twice: a Lease says which
one writes. Its state is the status of the Services. Agents announce and serve the
addresses; they write nothing.

  --kubeconfig FILE            without: as a pod of the cluster
  --load-balancer-class NAME   serve Services that name this class
                               (default penstock.io/load-balancer)
  --only-class                 leave Services alone that name no class
  --namespace NAME             of the Lease (default kube-system)
`;

export async function allocator(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, {
    options: {
      kubeconfig: { type: 'string' },
      'load-balancer-class': { type: 'string' },
      'only-class': { type: 'boolean' },
      namespace: { type: 'string' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const log = createLogger({ format: 'text', verbosity: 0 }, process.stdout);
  const userAgent = `penstock-allocator/${packageVersion()}`;
  const api = await openApiServer(
    { kubeconfig: values.kubeconfig ?? '', master: '', userAgent },
    process.env,
  );
  const recorder = new EventRecorder({
    hostname: hostname(),
    request: (method, path, body) => api.send(method, path, body),
    onFailure: (why) => log.warn(`Events cannot be sent: ${why}`),
  });
  const handle = openAllocator({
    api,
    namespace: values.namespace ?? 'kube-system',
    identity: `${hostname()}-${randomUUID().slice(0, 8)}`,
    isDefault: values['only-class'] !== true,
    loadBalancerClass: values['load-balancer-class'] ?? LOAD_BALANCER_CLASS,
    clock: systemClock,
    random: Math.random,
    wallClock: Date.now,
    log,
    events: {
      told: (type, reason, { namespace, name }, note) => {
        log[type === 'Normal' ? 'info' : 'warn'](`Service ${namespace}/${name}: ${note}`);
        const regarding = { apiVersion: 'v1', kind: 'Service', namespace, name };
        recorder.record({ type, reason, action: 'Allocating', note, regarding });
      },
      problems: (list) => {
        for (const { subject, message } of list) log.warn(`${subject} is set aside: ${message}`);
      },
      trouble: (why) =>
        why === undefined
          ? log.info('addresses can be written again')
          : log.warn(`addresses cannot be written: ${why}`),
    },
  });
  log.info(`penstock ${packageVersion()}: allocator for ${api.server}`);
  try {
    const signal = await new Promise<string>((resolve) => {
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
    });
    log.info(`${signal} received; Services keep their addresses`);
  } finally {
    await handle.stop();
    await recorder.stop();
    await api.close();
  }
  return 0;
}
