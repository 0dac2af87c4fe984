/** The text of `penstock run --help`, made from the table of flags. */

import { formatDuration } from '../../time/duration.js';
import { pathOf, valueAt } from '../file/ConfigFault.js';
import { FLAGS, type Flag, flagLabel } from './flags.js';
import { FLAG_DEFAULTS } from './flagsToConfiguration.js';

const HEADER = `Usage: penstock run [flags]

Proxies Kubernetes Services on this node. Flags marked * also work together with --config, and win over the file;
the others have no effect beside it, as in kube-proxy, and a warning says so.

`;

export function flagHelp(): string {
  return `${HEADER}${FLAGS.map(flagText).join('')}`;
}

function flagText(flag: Flag): string {
  const short = flag.short && flag.short !== flag.name ? `-${flag.short}, ` : '';
  const mark = flag.besideConfig === 'allowed' ? ' *' : '';
  return `  ${short}${flagLabel(flag)}${valueName(flag)}${mark}\n      ${flag.help}${choices(flag)}${defaultText(flag)}\n`;
}

function valueName({ type }: Flag): string {
  if (type === 'boolean') return '';
  return typeof type === 'string' ? ` <${type}>` : ' <word>';
}

function choices({ type }: Flag): string {
  return typeof type === 'string' ? '' : ` One of: ${type.filter((word) => word !== '').join(', ')}.`;
}

function defaultText({ fields: [field] = [], type }: Flag): string {
  const value = field && valueAt(FLAG_DEFAULTS, pathOf(field));
  if (type === 'duration') return ` (default ${formatDuration(Number(value))})`;
  const isWorthSaying =
    typeof value === 'number' || value === true || (typeof value === 'string' && value !== '');
  return isWorthSaying ? ` (default ${value})` : '';
}
