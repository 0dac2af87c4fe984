/** Messages of several lines, as one line of a log. */
export function oneLine(text: string): string {
  const [first = '', ...more] = text.split('\n');
  if (more.length === 0) return first;
  const last = more.pop() ?? '';
  const between = more.map((line) => line.trim()).filter((line) => line !== '');
  return [first.trimEnd(), ...between, last.trimStart()].join(' ');
}
