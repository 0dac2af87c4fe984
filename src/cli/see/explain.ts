/** penstock explain: what becomes of a connection, and why. From the model alone: no root, no traffic. */

import type { Explanation } from '../../explain/explain.js';
import { explain as explainFlow } from '../../explain/explain.js';
import { type FlowWords, readFlow, UnknownName } from '../../explain/names.js';
import { printable } from '../../net/printable.js';
import type { Milliseconds } from '../../time/duration.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { explanationText } from './explainText.js';
import { liveText } from './live/liveText.js';
import { traceLive } from './live/traceLive.js';
import { type Look, look } from './look.js';
import { MODEL_FLAGS, MODEL_HELP } from './modelFlags.js';
import { formatOf, OUTPUT_FLAG, print, printJson } from './output.js';

export const HELP = `penstock explain CLIENT DESTINATION [-o json]

Says what becomes of a connection: which Service decides, which endpoints may get
it, whether it is masqueraded, or why it is refused or dropped, and what to do.

CLIENT       an address, NAMESPACE/POD, node, localhost, or outside
DESTINATION  VIP:PORT/PROTO, [VIP]:PORT, SERVICE:PORT, NAMESPACE/SERVICE:PORT NAME,
             NODE:NODEPORT; PROTO is TCP (default), UDP or SCTP
  --interface NAME       where the packet enters the node
  --live                 watch the next such connection in the kernel, rule by rule,
                         and say whether the model agrees (root; Linux 5.12). The
                         node's own TCP connections it makes itself; for others it
                         waits
  --wait SECONDS         how long --live waits; default 10, at most 60

A running agent is asked, as root.

${MODEL_HELP}
Exit status: 0 it reaches an endpoint, waits for one that wakes, or is none of
penstock's business; 1 it is refused, dropped, or otherwise not as it should be;
2 could not look.

  penstock explain shop/web-1 shop/cart:http
  penstock explain 203.0.113.9 192.0.2.10:443/TCP --manifests manifests/ -o json
`;

export async function explain(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: {
      ...OUTPUT_FLAG,
      ...MODEL_FLAGS,
      interface: { type: 'string' },
      live: { type: 'boolean' },
      wait: { type: 'string' },
    },
    words: [2, 2],
    wordsText: 'CLIENT DESTINATION',
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const waitMs = waitOf(values.wait, values.live === true);
  if (values.live && (values.node !== undefined || values.mode !== undefined))
    throw new WrongCall('--live sees this node in its mode: it goes with neither --node nor --mode');
  const [client = '', destination = ''] = words;
  const explanation = await explained(await look(values), {
    client,
    destination,
    interface: values.interface,
  });
  if (!values.live) {
    if (format === 'json') printJson(explanation);
    else print(explanationText(explanation));
    return explanation.isProblem ? 1 : 0;
  }
  if (format === 'text') print(explanationText(explanation));
  const live = await traceLive(explanation, {
    client,
    waitMs,
    waits: (text) => process.stderr.write(`${printable(text)}\n`),
  });
  if (format === 'json') printJson({ ...explanation, live });
  else print(liveText(live));
  return explanation.isProblem || !live.agrees ? 1 : 0;
}

const DEFAULT_SECONDS = 10;
const MOST_SECONDS = 60;

function waitOf(text: string | undefined, isLive: boolean): Milliseconds {
  if (text === undefined) return DEFAULT_SECONDS * 1000;
  if (!isLive) throw new WrongCall('--wait is for --live');
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || seconds < 1 || seconds > MOST_SECONDS)
    throw new WrongCall(`--wait ${JSON.stringify(text)}: there are 1 to ${MOST_SECONDS} seconds`);
  return seconds * 1000;
}

async function explained(found: Look, words: FlowWords): Promise<Explanation> {
  if (found.from === 'agent') {
    const { client, destination: to, interface: entry = '' } = words;
    return (await found.agent.ask('/v1/explain', { client, to, interface: entry })) as Explanation;
  }
  const { world, rules, problems } = found.model;
  try {
    return explainFlow(world, rules, readFlow(words, world, rules), problems);
  } catch (error) {
    if (error instanceof UnknownName) throw new WrongCall(error.message);
    throw error;
  }
}
