/** Label selectors of Kubernetes (meta/v1 LabelSelector): all requirements of one must hold; of a list of selectors, one. */
import type { FieldReader } from '../../objects/read/FieldReader.js';

interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

export interface LabelSelector {
  readonly requirements: readonly Requirement[];
}

export type Labels = Readonly<Record<string, string>>;

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

/** Selects everything. */
export const EVERYTHING: LabelSelector = { requirements: [] };

export function readSelector(reader: FieldReader): LabelSelector {
  const requirements: Requirement[] = [];
  const labels = reader.object('matchLabels');
  for (const key of Object.keys(labels.fields))
    requirements.push({ key, operator: 'In', values: [labels.text(key)] });
  for (const expression of reader.objects('matchExpressions')) {
    const key = expression.text('key');
    if (key === '') expression.fault('key', 'the key of a label');
    const operator = expression.choice('operator', OPERATORS, 'Exists');
    if (!expression.has('operator')) expression.fault('operator', `one of ${OPERATORS.join(', ')}`);
    const values = expression.texts('values');
    const needsValues = operator === 'In' || operator === 'NotIn';
    if (needsValues && values.length === 0) expression.fault('values', `given with ${operator}`);
    if (!needsValues && values.length > 0) expression.fault('values', `absent with ${operator}`);
    requirements.push({ key, operator, values });
  }
  return { requirements };
}

export function readSelectors(reader: FieldReader, name: string): readonly LabelSelector[] {
  return reader.objects(name).map(readSelector);
}

export function selects({ requirements }: LabelSelector, labels: Labels): boolean {
  return requirements.every((requirement) => holds(requirement, labels));
}

function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** An empty list selects everything. */
export function anySelects(selectors: readonly LabelSelector[], labels: Labels): boolean {
  return selectors.length === 0 || selectors.some((selector) => selects(selector, labels));
}
