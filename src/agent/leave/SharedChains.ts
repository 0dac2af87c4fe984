/**
 * Modes iptables and ipvs and kube-proxy's write the same chains. Whether kube-proxy writes them now shows a rule without an effect in the
 * chain KUBE-MARK-MASQ: kube-proxy writes that chain anew with each of its syncs, and the rule is gone.
 */
import type { IptablesBackend } from '../../config/file/KubeProxyConfiguration.js';
import { RestoreInput } from '../../kernel/xtables/RestoreInput.js';
import { openXtables } from '../../kernel/xtables/selectBackend.js';
import type { XtablesTool } from '../../kernel/xtables/XtablesTool.js';

const CHAIN = 'KUBE-MARK-MASQ';
const COMMENT = 'penstock waits for another proxy to write this chain';
const RULE = `-m comment --comment "${COMMENT}"`;

export class SharedChains {
  readonly #backend: IptablesBackend;
  #tool: XtablesTool | undefined;
  /** Full syncs of ours when the rule was written; undefined: it is not there. */
  #markedAt: number | undefined;

  constructor(backend: IptablesBackend) {
    this.#backend = backend;
  }

  /**
   * `ownFullSyncs`: how many there were; ours write the chain too. The first call answers false, as it only writes the rule. Rejects
   * with what iptables says.
   */
  async areTheirs(ownFullSyncs: number): Promise<boolean> {
    this.#tool ??= await openXtables('IPv4', this.#backend);
    if (this.#markedAt === ownFullSyncs) {
      const rules = await this.#tool.listChain('nat', CHAIN);
      return rules !== undefined && !rules.some((rule) => rule.includes(COMMENT));
    }
    await this.#restore('-A');
    this.#markedAt = ownFullSyncs;
    return false;
  }

  /** Takes the rule away, where it still is. */
  async forget(): Promise<void> {
    if (this.#markedAt === undefined) return;
    this.#markedAt = undefined;
    const rules = await this.#tool?.listChain('nat', CHAIN);
    if (rules?.some((rule) => rule.includes(COMMENT))) await this.#restore('-D');
  }

  async #restore(verb: '-A' | '-D'): Promise<void> {
    const input = new RestoreInput();
    input.add(`*nat\n${verb} ${CHAIN} ${RULE}\n`);
    input.add('COMMIT\n');
    await this.#tool?.restore(input);
  }
}
