/** Manual pages, section 8, from help texts: man(7). */
import { COMMAND_GROUPS } from '../Command.js';
import type { CommandHelp } from './commandHelps.js';
import type { HelpPart } from './readHelp.js';

export interface ManOptions {
  readonly version: string;
  /** `2026-11-29`. */
  readonly date: string;
}

/** Texts of pages by file name: `penstock.8`, `penstock-run.8`. */
export function manPages(commands: readonly CommandHelp[], options: ManOptions): ReadonlyMap<string, string> {
  return new Map([
    ['penstock.8', overview(commands, options)],
    ...commands.map((each) => [`penstock-${each.name}.8`, pageOf(each, options)] as const),
  ]);
}

function overview(commands: readonly CommandHelp[], options: ManOptions): string {
  const groups = COMMAND_GROUPS.flatMap((group) => [
    `.SS ${roff(group)}`,
    ...commands
      .filter((each) => each.group === group)
      .flatMap(({ name, summary }) => ['.TP', `.BR penstock\\-${roff(name)} (8)`, line(summary)]),
  ]);
  return page([
    title('penstock', options),
    '.SH NAME',
    'penstock \\- Kubernetes Service proxy and L4 load balancer for Linux nodes',
    '.SH SYNOPSIS',
    '.B penstock',
    '.I COMMAND',
    '[flags]',
    '.SH DESCRIPTION',
    "penstock makes the kernel carry traffic for Kubernetes Services to their endpoints, in kube\\-proxy's place.",
    'It also runs without Kubernetes, from a folder of manifests.',
    '.SH COMMANDS',
    ...groups,
    '.SH FILES',
    ...['/etc/penstock/config.yaml', 'the configuration that penstock.service reads'].map(tagged),
    ...['/etc/penstock/manifests', 'Services and endpoints, where there is no cluster'].map(tagged),
    ...['/run/penstock', 'the socket of the agent, its lock, and what kernel parameters were before'].map(
      tagged,
    ),
  ]);
}

function pageOf({ name, summary, help }: CommandHelp, options: ManOptions): string {
  const of = (type: HelpPart['type']) => help.parts.filter((part) => part.type === type);
  const described = help.parts.filter(
    ({ type }) => type === 'text' || type === 'verbatim' || type === 'flags',
  );
  const section = (heading: string, parts: readonly HelpPart[]) =>
    parts.length === 0 ? [] : [`.SH ${heading}`, ...parts.flatMap(rendered)];
  return page([
    title(`penstock-${name}`, options),
    '.SH NAME',
    `penstock\\-${roff(name)} \\- ${roff(summary)}`,
    '.SH SYNOPSIS',
    '.nf',
    ...help.synopsis.split('\n').map(line),
    '.fi',
    ...section('DESCRIPTION', described),
    ...section('EXIT STATUS', of('status')),
    ...section('EXAMPLES', of('examples')),
    '.SH SEE ALSO',
    '.BR penstock (8)',
  ]);
}

function rendered(part: HelpPart): readonly string[] {
  if (part.type === 'flags')
    return part.flags.flatMap(({ head, text }) => [
      '.TP',
      `.B "${roff(head).replaceAll('"', '\\(dq')}"`,
      line(text),
    ]);
  if (part.type === 'text' || part.type === 'status') return ['.PP', ...part.lines.map(line)];
  return ['.PP', '.nf', ...part.lines.map(line), '.fi'];
}

/** The first of a pair is what the second explains. */
function tagged(text: string, index: number): string {
  return index === 0 ? `.TP\n.I ${roff(text)}` : line(text);
}

function title(name: string, { version, date }: ManOptions): string {
  return `.TH ${roff(name.toUpperCase())} 8 ${date} "penstock ${roff(version)}" "System Administration"`;
}

function page(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

/** A line of text: one that begins with a dot or a quote is no request, and none is empty. */
function line(text: string): string {
  const escaped = roff(text);
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped === '' ? '\\&' : escaped;
}

/** What roff reads otherwise, and what is not ASCII, by number. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replaceAll('`', '\\(ga')
    .replaceAll(
      /[\u0080-\u{10ffff}]/gu,
      (character) => `\\[u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    );
}
