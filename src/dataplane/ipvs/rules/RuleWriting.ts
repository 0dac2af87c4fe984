/** The fixed rules of one family: read, compared, written when they are not as they should be. */

import type { RuleSettings } from '../desired/IpvsSettings.js';
import type { FamilyKernel } from '../kernel/FamilyKernel.js';
import { describeMissing, isOtherMode, planRules, type SavedRules } from './planRules.js';

export class RuleWriting {
  readonly #kernel: FamilyKernel;
  /** What is in force, as far as we know: the settings as text. Undefined: it must be looked at. */
  #inForce: string | undefined;
  #present: SavedRules = {};

  constructor(kernel: FamilyKernel) {
    this.#kernel = kernel;
  }

  /** Before write(): what is there, unless that is known. */
  async read(): Promise<void> {
    if (this.#inForce === undefined) this.#present = await this.#kernel.readRules();
  }

  /** Mode iptables serves with chains of the same names: ours replace them, so they come last. */
  get othersAreInForce(): boolean {
    return this.#inForce === undefined && isOtherMode(this.#present);
  }

  /** Returns how many transactions it took. Rejects with RestoreError. */
  async write(settings: RuleSettings): Promise<number> {
    const text = settingsText(settings);
    if (this.#inForce === text) return 0;
    if (this.#inForce !== undefined) this.#present = await this.#kernel.readRules();
    this.#inForce = undefined;
    const input = planRules(settings, this.#present);
    if (!input.isEmpty) await this.#kernel.writeRules(input);
    this.#inForce = text;
    return input.transactions;
  }

  /** What is missing, as a sentence. */
  async verify(settings: RuleSettings): Promise<string | undefined> {
    const wrong = describeMissing(settings, await this.#kernel.readRules());
    if (wrong !== undefined) this.#inForce = undefined;
    return wrong;
  }

  /** The rules must be looked at again. */
  distrust(): void {
    this.#inForce = undefined;
  }
}

function settingsText(settings: RuleSettings): string {
  const { family, masqueradeMark, masqueradeAll, localTraffic, randomFully, localhostPorts } = settings;
  return JSON.stringify([family, masqueradeMark, masqueradeAll, localTraffic, randomFully, localhostPorts]);
}
