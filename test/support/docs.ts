/** README.md and docs/*.md as a reader copies from them: blocks of code, code within a line, links. */
import { readdirSync, readFileSync } from 'node:fs';
import { fromRoot } from './fromRoot.js';

export interface Doc {
  /** `docs/compare.md` */
  readonly path: string;
  readonly text: string;
  /** Indented by four spaces or fenced, without that. */
  readonly blocks: readonly string[];
  /** Within a line, `like this`. */
  readonly inline: readonly string[];
}

export function readDocs(): readonly Doc[] {
  const pages = readdirSync(fromRoot('docs')).filter((name) => name.endsWith('.md'));
  return ['README.md', ...pages.map((name) => `docs/${name}`).sort()].map((path) => {
    const text = readFileSync(fromRoot(path), 'utf8');
    const fenced = [...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].map(([, code = '']) => code);
    const rest = text.replaceAll(/^```\w*\n[\s\S]*?^```/gm, '');
    const indented = [...rest.matchAll(/(?:^ {4,}\S.*\n(?:\n(?= {4}\S))*)+/gm)].map(([code]) => {
      const depth = Math.min(...[...code.matchAll(/^( *)\S/gm)].map(([, spaces = '']) => spaces.length));
      return code.replaceAll(new RegExp(`^ {${depth}}`, 'gm'), '');
    });
    const inline = [...rest.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
    return { path, text, blocks: [...fenced, ...indented], inline };
  });
}

/** The words after `penstock` of each call, as a shell would pass them; `{ path, words }`, each once. */
export function penstockCalls(
  docs: readonly Doc[],
): readonly { readonly path: string; readonly words: readonly string[] }[] {
  const found = new Map<string, { readonly path: string; readonly words: readonly string[] }>();
  for (const { path, blocks, inline } of docs) {
    const lines = [
      ...blocks.flatMap((block) => block.split('\n')),
      ...inline.filter((code) => /^(sudo )?(bin\/)?penstock /.test(code)),
    ];
    for (const line of lines)
      for (const [, call = ''] of line
        .replace(/ #.*/, '')
        .matchAll(/(?:^|[;|&] |-- |\$ |sudo )\s*(?:bin\/)?penstock ([a-z][^;|<>#&)]*)/g)) {
        // A line of a log, `penstock run: this process lacks …`, is no call.
        if (/^\S+:/.test(call)) continue;
        const words = (call.replaceAll(/[[\]…]/g, ' ').match(/'[^']*'|"[^"]*"|\S+/g) ?? []).map((word) =>
          word.replaceAll(/^['"]|['"]$/g, ''),
        );
        found.set(words.join(' '), found.get(words.join(' ')) ?? { path, words });
      }
  }
  return [...found.values()];
}
