/** The Service in the name of a service port, `namespace/service:port name` or `namespace/service`; undefined in ''. */
export function ownerOf(
  servicePort: string,
): { readonly namespace: string; readonly name: string } | undefined {
  const slash = servicePort.indexOf('/');
  if (slash <= 0) return undefined;
  const colon = servicePort.indexOf(':', slash);
  const name = servicePort.slice(slash + 1, colon < 0 ? undefined : colon);
  return name === '' ? undefined : { namespace: servicePort.slice(0, slash), name };
}
