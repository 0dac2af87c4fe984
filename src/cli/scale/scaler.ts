/** penstock scaler: tells KEDA which Services are wanted, for the whole cluster. Needs no root. */
import type { SecureServerOptions } from 'node:http2';
import { watchActivity } from '../../agent/wake/shareActivity.js';
import { parseHostPort } from '../../config/hostPort.js';
import { messageOf, PenstockError } from '../../errors.js';
import { openApiServer } from '../../kubernetes/openApiServer.js';
import { isLoopback } from '../../net/ip.js';
import { createLogger } from '../../observe/log/createLogger.js';
import { systemClock } from '../../time/Clock.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { packageVersion } from '../version.js';
import { ExternalScaler } from './externalScaler.js';
import { GrpcServer } from './GrpcServer.js';
import { readTlsFiles, type TlsPaths, watchTlsFiles } from './TlsFiles.js';

export const HELP = `penstock scaler [--kubeconfig FILE] [flags]

KEDA's external-push scaler: says which Services have connections or somebody who
waits, from what the agents of all nodes write with penstock.wake.share. Runs once
a cluster.

  --kubeconfig FILE        without: as a pod of the cluster
  --namespace NAME         of the agents' Leases (default kube-system)
  --listen ADDRESS:PORT    default 127.0.0.1:9901; elsewhere than on loopback it
                           needs a certificate
  --tls-cert FILE, --tls-key FILE   PEM; read again when they change
  --client-ca FILE         clients must show a certificate of this authority
`;

const LISTEN = '127.0.0.1:9901';

export async function scaler(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, {
    options: {
      kubeconfig: { type: 'string' },
      namespace: { type: 'string' },
      listen: { type: 'string' },
      'tls-cert': { type: 'string' },
      'tls-key': { type: 'string' },
      'client-ca': { type: 'string' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const at = parseHostPort(values.listen ?? LISTEN);
  if (at === undefined) throw new WrongCall(`--listen ${values.listen} is no IP address with a port`);
  const paths = tlsPaths(values['tls-cert'], values['tls-key'], values['client-ca']);
  const tls = paths && readTls(paths);
  if (tls === undefined && !isLoopback(at.host))
    throw new WrongCall(
      `--listen ${values.listen}: others could read and change what is said there`,
      'Give --tls-cert and --tls-key, or an address of loopback.',
    );
  const log = createLogger({ format: 'text', verbosity: 0 }, process.stdout);
  const userAgent = `penstock-scaler/${packageVersion()}`;
  const choice = { kubeconfig: values.kubeconfig ?? '', master: '', userAgent };
  const api = await openApiServer(choice, process.env);
  const service = new ExternalScaler({
    useOf: (path) => activity.view.of(path),
    clock: systemClock,
  });
  const activity = watchActivity({
    api,
    namespace: values.namespace ?? 'kube-system',
    clock: systemClock,
    random: Math.random,
    log,
    consequence: 'KEDA is answered UNAVAILABLE and keeps the replicas that there are; nobody is woken.',
    onChange: () => service.changed(),
    onComplete: () => log.info('the Leases of the nodes are read'),
  });
  // Read again: the watch must begin with what is served.
  const server = new GrpcServer(service.methods, paths && readTls(paths), systemClock);
  const endWatching =
    paths && watchTlsFiles({ paths, onChange: (renewed) => server.renew(renewed), clock: systemClock, log });
  try {
    const port = await server.listen(at.host, at.port).catch((cause: unknown) => {
      throw new PenstockError('PENSTOCK_SCALER_LISTEN', `the scaler cannot listen: ${messageOf(cause)}`, {
        cause,
        remedy: 'Give another address and port with --listen.',
      });
    });
    const how =
      tls === undefined ? 'plain text' : tls.requestCert ? 'TLS, with certificates of clients' : 'TLS';
    log.info(`penstock ${packageVersion()}: scaler for ${api.server} on port ${port} (${how})`);
    const signal = await new Promise<string>((resolve) => {
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
    });
    log.info(`${signal} received`);
  } finally {
    endWatching?.();
    service.close();
    await server.close().catch(() => {});
    await activity.stop();
    await api.close();
  }
  return 0;
}

function tlsPaths(cert = '', key = '', clientCa = ''): TlsPaths | undefined {
  if (cert === '' && key === '' && clientCa === '') return undefined;
  if (cert === '' || key === '') throw new WrongCall('--tls-cert and --tls-key go together');
  return { cert, key, clientCa: clientCa === '' ? undefined : clientCa };
}

function readTls(paths: TlsPaths): SecureServerOptions {
  try {
    return readTlsFiles(paths);
  } catch (error) {
    throw new WrongCall(`the certificates cannot be read: ${messageOf(error)}`);
  }
}
