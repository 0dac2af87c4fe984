/** Reads a page in Prometheus' text format 0.0.4, strictly; throws at a line that is none. */
const COMMENT = /^# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* .+$/;
const SERIES = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([-+.\deE]+|\+Inf|-Inf|NaN|Nan)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(,|$)/gy;
const ESCAPES: Readonly<Record<string, string>> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' };

export interface ParsedSeries {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export function parseMetrics(page: string): ParsedSeries[] {
  const lines = page.split('\n');
  if (page !== '' && lines.pop() !== '') throw new Error('the last line does not end');
  return lines.flatMap((line) => {
    if (line === '' || COMMENT.test(line)) return [];
    const [, name = '', labels = '', value] = SERIES.exec(line) ?? [];
    if (value === undefined) throw new Error(`not a line of metrics: ${JSON.stringify(line)}`);
    return [{ name, labels: parseLabels(labels), value: Number(value.replace('Inf', 'Infinity')) }];
  });
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let end = 0;
  for (const [whole, name = '', value = ''] of text.matchAll(LABEL)) {
    labels[name] = value.replaceAll(/\\[\\"n]/g, (escaped) => ESCAPES[escaped] ?? '');
    end += whole.length;
  }
  if (end !== text.length) throw new Error(`not labels: ${JSON.stringify(text)}`);
  return labels;
}

/** The value of the one series with this name and, among others, these labels; undefined without one. */
export function seriesValue(
  series: readonly ParsedSeries[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = series.filter(
    (each) =>
      each.name === name && Object.entries(labels).every(([label, value]) => each.labels[label] === value),
  );
  if (found.length > 1) throw new Error(`${found.length} series ${name} ${JSON.stringify(labels)}`);
  return found[0]?.value;
}

/** A page that is made in pieces. */
export async function textOf(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text;
}
