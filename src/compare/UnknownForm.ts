import { PenstockError } from '../errors.js';
import { printable } from '../net/printable.js';

/** A rule says something that is not understood here: the comparison could not look, it does not guess. */
export class UnknownForm extends PenstockError {
  constructor(what: string, rule: string) {
    super('PENSTOCK_RULE_UNKNOWN', `not understood: ${printable(what)}, in the rule: ${printable(rule)}`, {
      remedy: 'Compare with rules that kube-proxy or penstock wrote, and report this one.',
    });
  }
}
