/** penstock web: a page in the browser, of the agent that runs here. */

import type { AddressInfo } from 'node:net';
import { parseHostPort } from '../../config/hostPort.js';
import { messageOf, PenstockError } from '../../errors.js';
import { type IpAddress, isLoopback, joinHostPort } from '../../net/ip.js';
import type { PageSource } from '../../observe/page/PageSource.js';
import { startPageServer } from '../../observe/page/pageServer.js';
import { systemClock } from '../../time/Clock.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { AgentClient } from './AgentClient.js';
import { print } from './output.js';

export const HELP = `penstock web [--listen ADDRESS:PORT]

Serves a page with what the agent of this node knows: Services, endpoints, failed
connections as they happen, syncs, conflicts, and explain. Read only. Ends with
Ctrl-C. Needs root, to ask the agent.

  --listen ADDRESS:PORT  default 127.0.0.1:10255; loopback only. Port 0: any

From another machine: ssh -L 10255:127.0.0.1:10255 NODE. The agent serves the page
itself when its configuration says penstock: {web: "127.0.0.1:10255"}; then
kubectl port-forward leads to it.
`;

const DEFAULT_LISTEN = '127.0.0.1:10255';

export async function web(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: { listen: { type: 'string' } } });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const { host, port } = listenOn(values.listen ?? DEFAULT_LISTEN);
  // Whoever mistyped learns at once that there is nothing to look at.
  if (!(await AgentClient.find())) throw noAgent();
  const server = await startPageServer({ host, port, source: agentSource(), clock: systemClock }).catch(
    (error: unknown) => {
      throw new PenstockError('PENSTOCK_CANNOT_BIND', messageOf(error), {
        cause: error,
        remedy: 'Give another port: --listen 127.0.0.1:PORT.',
      });
    },
  );
  const bound = server.address() as AddressInfo;
  print([`http://${joinHostPort(host, bound.port)}/   Ctrl-C ends it`]);
  await new Promise((resolve) => {
    process.once('SIGINT', resolve).once('SIGTERM', resolve);
  });
  server.close();
  server.closeAllConnections();
  return 0;
}

function listenOn(text: string): { readonly host: IpAddress; readonly port: number } {
  const any = /^(.*):0$/.exec(text)?.[1];
  const place = parseHostPort(any === undefined ? text : `${any}:1`);
  if (!place || !isLoopback(place.host))
    throw new WrongCall(
      `--listen ${JSON.stringify(text)}: must be a loopback address and a port`,
      'Such as 127.0.0.1:10255 or [::1]:10255.',
    );
  return any === undefined ? place : { host: place.host, port: 0 };
}

function noAgent(): PenstockError {
  return new PenstockError('PENSTOCK_NO_AGENT', 'no agent answers on this node', {
    remedy: 'Start penstock run; `penstock services --manifests PATH` looks without one.',
  });
}

/** Finds the agent anew each time: it may have been restarted meanwhile. */
function agentSource(): PageSource {
  const found = async () => {
    const agent = await AgentClient.find();
    if (!agent) throw noAgent();
    return agent;
  };
  return {
    ask: async (path, words) => (await found()).ask(path, words),
    follow: (heard, ended) => {
      const gone = new AbortController();
      found()
        .then((agent) => agent.follow('/v1/flows', heard, gone.signal))
        .then(ended, ended);
      return () => gone.abort();
    },
  };
}
