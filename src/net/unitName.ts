/** Names of units of systemd, as a person writes them. */

/** systemd.unit(5). */
const UNIT = /^[A-Za-z0-9:_.@\\][-A-Za-z0-9:_.@\\]{0,252}$/;

/** As systemctl reads it: what has no suffix is a service. Undefined: that is none. */
export function readUnitName(text: string): string | undefined {
  if (!UNIT.test(text)) return undefined;
  return /\.(service|socket|target)$/.test(text) ? text : `${text}.service`;
}
