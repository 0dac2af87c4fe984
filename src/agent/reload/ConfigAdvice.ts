/** Says in the log what of a valid configuration is doubtful on this node: at start, and again when the node is known. */
import type { Logger } from 'pino';
import { configWarnings, type NodeNetwork } from '../../config/file/configWarnings.js';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { PenstockError } from '../../errors.js';
import { familyOf, type IpFamily } from '../../net/ip.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';

export class ConfigAdvice {
  readonly #config: NodeConfig;
  readonly #families: readonly IpFamily[];
  readonly #log: Logger;
  readonly #said = new Set<string>();

  constructor(config: NodeConfig, families: readonly IpFamily[], log: Logger) {
    this.#config = config;
    this.#families = families;
    this.#log = log;
  }

  /** Before anything is done. Throws PENSTOCK_CONFIG_UNUSABLE when this host cannot be served with it. */
  atStart(nodeIPs: NodeNetwork['nodeIPs']): void {
    for (const { severity, message } of this.#warnings({ nodeIPs, podCIDRs: undefined })) {
      if (severity === 'fatal') throw new PenstockError('PENSTOCK_CONFIG_UNUSABLE', message);
      this.#say(message);
    }
  }

  /** Once the Node object was read. By then rules are in force, so nothing is fatal any more. */
  onNode({ node, nodeObject }: Pick<RoutingTable, 'node' | 'nodeObject'>): void {
    const facts = { nodeIPs: node.addresses, podCIDRs: nodeObject?.podCIDRs ?? [] };
    for (const { message } of this.#warnings(facts)) this.#say(message);
  }

  #warnings(facts: Pick<NodeNetwork, 'nodeIPs' | 'podCIDRs'>) {
    const primaryFamily: IpFamily = familyOf(this.#config.bindAddress);
    return configWarnings(this.#config, { primaryFamily, supportedFamilies: this.#families, ...facts });
  }

  /** Each sentence once. */
  #say(message: string): void {
    if (this.#said.has(message)) return;
    this.#said.add(message);
    this.#log.warn(message);
  }
}
