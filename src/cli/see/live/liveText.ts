/** What the kernel did with a packet, for a person. */
import { colour, field, WIDTH, wrap } from '../output.js';
import type { Live } from './joinTrace.js';

/** Steps beyond this number are counted, not listed. */
const SHOWN = 60;

export function liveText({ steps, agrees, says }: Live): string[] {
  const lines = steps
    .slice(0, SHOWN)
    .flatMap(({ table, chain, verdict, says: words }) => [
      ...wrap(`${table} ${chain}: ${verdict}`, WIDTH - 2).map((line) => `  ${line}`),
      ...(words === '' ? [] : wrap(words, WIDTH - 6).map((line) => `      ${line}`)),
    ]);
  const rest = steps.length - SHOWN;
  return [
    '',
    ...(lines.length === 0 ? ['  no rule matched'] : lines),
    ...(rest > 0 ? [`  and ${rest} more`] : []),
    '',
    ...field('kernel', says),
    colour(
      agrees ? 'green' : 'red',
      agrees ? 'the kernel agrees with the model' : 'the kernel does otherwise than the model',
    ),
  ];
}
