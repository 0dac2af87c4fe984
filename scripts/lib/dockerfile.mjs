// A Dockerfile as its stages: [{ name, from, steps: [{ instruction, text, line }] }]. Knows what deploy/Dockerfile uses
// and refuses the rest, so that nothing is left out silently.
const KNOWN = ['RUN', 'COPY', 'WORKDIR', 'USER', 'ENTRYPOINT', 'CMD'];

export function readStages(text) {
  const stages = [];
  for (const { line, words } of instructions(text)) {
    const [, instruction, rest] = /^([A-Z]+)\s+(.*)$/s.exec(words) ?? [];
    if (instruction === 'FROM') {
      const [, from, name] = /^(\S+)(?: AS (\S+))?$/.exec(rest) ?? [];
      if (!from) throw new Error(`Dockerfile:${line}: FROM IMAGE [AS NAME] is expected, not: ${words}`);
      stages.push({ name: name ?? String(stages.length), from, steps: [] });
    } else if (!KNOWN.includes(instruction) || stages.length === 0) {
      throw new Error(`Dockerfile:${line}: cannot be followed here: ${words}`);
    } else {
      stages.at(-1).steps.push({ instruction, text: rest, line });
    }
  }
  return stages;
}

/** The stages that a target needs, itself last. */
export function stagesFor(stages, target) {
  const stage = stages.find(({ name }) => name === target);
  if (!stage) return [];
  const copied = stage.steps.flatMap(({ text }) => /^--from=(\S+)/.exec(text)?.[1] ?? []);
  const needed = [stage.from, ...copied].flatMap((name) => stagesFor(stages, name));
  return [...new Set([...needed, stage])];
}

/** `--from=build a b c/` → where from, what, and where to. */
export function readCopy(text) {
  const words = text.split(/\s+/);
  const from = /^--from=(.*)$/.exec(words[0])?.[1];
  const paths = from === undefined ? words : words.slice(1);
  return { from, sources: paths.slice(0, -1), destination: paths.at(-1) };
}

/** Whether a .dockerignore that begins with `*` lets a path into the build. */
export function isSent(dockerignore, path) {
  return dockerignore.split('\n').some((line) => line === `!${path}` || path.startsWith(`${line.slice(1)}/`));
}

/** Lines that end in a backslash go on in the next. Comments are dropped. */
function* instructions(text) {
  let words = '';
  let begin = 0;
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trimStart().startsWith('#') || (words === '' && line.trim() === '')) continue;
    if (words === '') begin = index + 1;
    words += line.replace(/\\$/, ' ');
    if (line.endsWith('\\')) continue;
    yield { line: begin, words: words.trim() };
    words = '';
  }
}
