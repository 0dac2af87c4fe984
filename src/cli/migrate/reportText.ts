/** The report as Markdown, for a ticket. */
import { append } from '../../append.js';
import { printable } from '../../net/printable.js';
import { type Remark, type Report, SECTIONS, type Section } from './Remark.js';

export function markdown(report: Report): string {
  const { node, from, mode, services, findings, connections } = report;
  const attend = findings.filter(({ level }) => level === 'attend').length;
  const lines = [
    `# Replace ${from ?? 'kube-proxy'} on node ${printable(node)} by penstock, mode ${mode}`,
    '',
    attend === 0
      ? `Nothing stands in the way. ${services} Services were looked at.`
      : `**${attend} ${attend === 1 ? 'thing' : 'things'} to attend to.** ${services} Services were looked at.`,
  ];
  for (const section of Object.keys(SECTIONS) as Section[]) {
    lines.push('', `## ${SECTIONS[section]}`, '');
    if (section === 'connections' && connections !== undefined) append(lines, connectionLines(connections));
    const unseen = report.unseen.filter((each) => each.section === section);
    const own = findings.filter((each) => each.section === section);
    append(
      lines,
      unseen.map(({ why }) => `- not looked at: ${escaped(why)}`),
    );
    append(lines, own.map(findingLine));
    if (own.length === 0 && unseen.length === 0 && section !== 'connections') lines.push('Nothing.');
  }
  return `${lines.join('\n')}\n`;
}

function connectionLines({ open, touched }: NonNullable<Report['connections']>): string[] {
  return [
    `- ${open} connections to Services are open, ${touched} of them would be touched: ` +
      (touched === 0
        ? 'the kernel goes on translating them as it does.'
        : 'their endpoint is gone, and the kernel would forget them.'),
  ];
}

function findingLine({ level, subject, text }: Remark): string {
  const mark = level === 'attend' ? '**attend**: ' : '';
  return `- ${mark}${subject === '' ? '' : `${escaped(subject)}: `}${escaped(text)}`;
}

/** Names come from whoever may make Services. */
function escaped(text: string): string {
  return printable(text).replaceAll(/[\\`*<>|[\]]/g, '\\$&');
}
