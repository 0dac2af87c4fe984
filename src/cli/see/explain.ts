/** penstock explain: what becomes of a connection, and why. From the model alone: no root, no traffic. */

import type { Explanation } from '../../explain/explain.js';
import { explain as explainFlow } from '../../explain/explain.js';
import { type FlowWords, readFlow, UnknownName } from '../../explain/names.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { explanationText } from './explainText.js';
import { type Look, look } from './look.js';
import { formatOf, OUTPUT_FLAG, print, printJson } from './output.js';
import { MODEL_FLAGS, MODEL_HELP } from './readModel.js';

export const HELP = `penstock explain CLIENT DESTINATION [-o json]

Says what becomes of a connection: which Service decides, which endpoints may get
it, whether it is masqueraded, or why it is refused or dropped, and what to do.

CLIENT       an address, NAMESPACE/POD, node, localhost, or outside
DESTINATION  VIP:PORT/PROTO, [VIP]:PORT, SERVICE:PORT, NAMESPACE/SERVICE:PORT NAME,
             NODE:NODEPORT; PROTO is TCP (default), UDP or SCTP
  --interface NAME       where the packet enters the node

A running agent is asked, as root.

${MODEL_HELP}
Exit status: 0 it reaches an endpoint, or is none of penstock's business; 1 it is
refused, dropped, or otherwise not as it should be; 2 could not look.

  penstock explain shop/web-1 shop/cart:http
  penstock explain 203.0.113.9 192.0.2.10:443/TCP --manifests manifests/ -o json
`;

export async function explain(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: { ...OUTPUT_FLAG, ...MODEL_FLAGS, interface: { type: 'string' } },
    words: [2, 2],
    wordsText: 'CLIENT DESTINATION',
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const [client = '', destination = ''] = words;
  const explanation = await explained(await look(values), {
    client,
    destination,
    interface: values.interface,
  });
  if (format === 'json') printJson(explanation);
  else print(explanationText(explanation));
  return explanation.isProblem ? 1 : 0;
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
