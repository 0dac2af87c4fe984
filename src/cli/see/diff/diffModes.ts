/** Two modes over the same objects: for which client does it make a difference which of them serves? */
import { answerText, compareModes } from '../../../compare/compareModes.js';
import type { Comparison } from '../../../compare/compareRules.js';
import { reportJson } from '../../../compare/report.js';
import type { Mode } from '../../../explain/World.js';
import { rulesOf } from '../../../explain/worldOf.js';
import { joinHostPort } from '../../../net/ip.js';
import { printable } from '../../../net/printable.js';
import { look } from '../look.js';
import type { ModelFlags } from '../modelFlags.js';
import { colour, type Format, print, wrap } from '../output.js';
import { readModel } from '../readModel.js';

export interface ModesCall extends Omit<ModelFlags, 'mode'> {
  readonly modes: readonly [Mode, Mode];
  readonly format: Format;
  readonly limit: number;
  readonly service: string | undefined;
}

export async function diffModes({ modes, format, limit, service, ...flags }: ModesCall): Promise<number> {
  const [first, second] = modes;
  const found = await look({ ...flags, mode: first });
  const model =
    found.from === 'model'
      ? found.model
      : await readModel({ ...flags, mode: first }, { called: found.agent.status });
  const { world, config } = model;
  const rules = (mode: Mode) => rulesOf({ ...config, mode }, world);
  const whole = compareModes(world, rules(first), rules(second));
  const differences = whole.differences.filter(
    ({ question }) => service === undefined || question.name.split(':')[0] === service.split(':')[0],
  );
  const comparison = { ...whole, differences };
  if (format === 'json')
    process.stdout.write(reportJson(comparison, { title: `mode ${second}`, mode: second }));
  else print(modesText(comparison, modes, limit));
  return differences.length === 0 ? 0 : 1;
}

/** One block for each place and pair of answers, with the clients that it holds for. */
function modesText(
  { asked, differences }: Comparison,
  [first, second]: ModesCall['modes'],
  limit: number,
): string[] {
  const blocks = new Map<string, { readonly lines: readonly string[]; readonly clients: string[] }>();
  for (const { question, ours, theirs } of differences) {
    const { name, what, place, client } = question;
    const at = `${name} (${what} ${joinHostPort(place.address, place.port)}/${place.protocol.toLowerCase()})`;
    const says = [`${first}: ${answerText(ours)}`, `${second}: ${answerText(theirs)}`];
    const key = [at, ...says].join('\n');
    const block = blocks.get(key) ?? { lines: [colour('bold', printable(at)), ...says], clients: [] };
    block.clients.push(client.kind);
    blocks.set(key, block);
  }
  const shown = [...blocks.values()]
    .slice(0, limit)
    .flatMap(({ lines: [title = '', ...says], clients }) => [
      title,
      ...wrap(`for ${clients.join(', ')}`, 78).map((line) => `  ${line}`),
      ...says.flatMap((text) =>
        wrap(printable(text), 76).map((line, i) => (i === 0 ? `  ${line}` : `    ${line}`)),
      ),
      '',
    ]);
  const hidden = blocks.size - Math.min(blocks.size, limit);
  return [
    ...shown,
    ...(hidden > 0 ? [`… and ${hidden} places more (--limit, or -o json)`] : []),
    differences.length === 0
      ? colour('green', `equal: ${asked} questions, the same answers in modes ${first} and ${second}`)
      : colour(
          'yellow',
          `different: ${differences.length} of ${asked} questions in modes ${first} and ${second}`,
        ),
  ];
}
