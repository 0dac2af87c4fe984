/** Label and field selectors of the API, as far as proxies use them: `a=b`, `a!=b`, `a`, `!a`, joined with commas. */

interface Selectable {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> };
}

export function isSelected(object: Selectable, query: URLSearchParams): boolean {
  const labels = object.metadata.labels ?? {};
  return (
    meets(query.get('labelSelector') ?? '', (key) => labels[key]) &&
    meets(query.get('fieldSelector') ?? '', (path) => fieldOf(object, path) ?? '')
  );
}

function meets(selector: string, read: (key: string) => string | undefined): boolean {
  return selector
    .split(',')
    .filter((part) => part !== '')
    .every((part) => {
      const [, not, key = '', operator, wanted] = /^(!?)([^=!]+)(=|==|!=)?([^=]*)$/.exec(part) ?? [];
      const value = read(key);
      if (operator === undefined) return (value !== undefined) === (not === '');
      return (value === wanted) === (operator !== '!=');
    });
}

/** `metadata.name` */
function fieldOf(object: Selectable, path: string): string | undefined {
  let found: unknown = object;
  for (const name of path.split('.'))
    found = (found as Readonly<Record<string, unknown>> | undefined)?.[name];
  return typeof found === 'string' ? found : undefined;
}
