// What a TAP test says.

/** The summaries of tap files, one after the other in one text: { passed, failed }; undefined where there is none. */
export function countTap(text) {
  const summaries = [...text.matchAll(/^# \{ total: \d+.*\}$/gm)].map(([line]) => line);
  if (summaries.length === 0) return undefined;
  const sum = (name) => summaries.reduce((n, line) => n + Number(new RegExp(` ${name}: (\\d+)`).exec(line)?.[1] ?? 0), 0);
  return { passed: sum('pass'), failed: sum('fail') };
}

/** The failed assertions with what follows each; else the end of the text. */
export function failuresIn(text) {
  const lines = text.split('\n');
  const shown = lines.flatMap((line, i) => (/^ *not ok/.test(line) ? [...lines.slice(i, i + 26), ''] : []));
  return (shown.length > 0 ? shown.slice(0, 200) : lines.slice(-50)).join('\n');
}

export function skipsIn(text) {
  return [...text.matchAll(/# SKIP.*$/gm)].map(([line]) => line);
}
