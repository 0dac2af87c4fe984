/**
 * The forms of Kubernetes names (apimachinery/pkg/util/validation). They are checked because names end up in rule
 * comments, file names and log lines, where a stray quote or line break does harm.
 */
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

export const LABEL_FORM = 'at most 63 lower case letters, digits or "-", with a letter or digit at both ends';
export const SUBDOMAIN_FORM =
  'at most 253 lower case letters, digits, "-" or ".", with a letter or digit at both ends of each part';

/** RFC 1123 label: names of namespaces, Services and ports. */
export function isLabelName(text: string): boolean {
  return LABEL.test(text);
}

/** RFC 1123 subdomain: names of Nodes, EndpointSlices and ServiceCIDRs. */
export function isSubdomainName(text: string): boolean {
  return text.length <= 253 && SUBDOMAIN.test(text);
}
