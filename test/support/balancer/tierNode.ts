/**
 * Tiers of one node as a program: `node tierNode.js NAME DEVICE` in the node's network namespace. Reads one JSON command a line:
 * the nodes with endpoints and the nodes that can be reached; answers with one line when the tables are written.
 */
import { execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { SlotHistory } from '../../../src/balancer/tiers/SlotHistory.js';
import { TierTables } from '../../../src/balancer/tiers/TierTables.js';
import { type TierNode, type TierService, tierContents } from '../../../src/balancer/tiers/tierContents.js';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import type { IpAddress } from '../../../src/net/ip.js';

export interface TierCommand {
  readonly vips: readonly string[];
  readonly port: number;
  readonly hash?: TierService['hash'];
  readonly endpoints: readonly string[];
  readonly nodes: readonly (readonly [name: string, v4: string, v6: string, mac: string])[];
}

const [, , self = '', device = 'eth0'] = process.argv;
const index = JSON.parse(execFileSync('ip', ['-j', 'link', 'show', device], { encoding: 'utf8' }))[0].ifindex;
const tables = new TierTables(NetlinkChannel.open(NetlinkProtocol.NETFILTER));
const history = new SlotHistory();

createInterface(process.stdin).on('line', async (line) => {
  const { vips, port, hash = 'flow', endpoints, nodes } = JSON.parse(line) as TierCommand;
  const now = performance.now();
  history.set(endpoints, now);
  const alive = new Set(nodes.map(([name]) => name));
  const services = vips.flatMap((address) =>
    (['TCP', 'UDP'] as const).map(
      (protocol): TierService => ({
        address: address as IpAddress,
        protocol,
        port,
        hash,
        table: history.table,
        before: history.before(alive, now),
      }),
    ),
  );
  const reachable = new Map(
    nodes.map(([name, v4, v6]): [string, TierNode] => [
      name,
      { addresses: { IPv4: v4 as IpAddress, IPv6: v6 as IpAddress }, device: { name: device, index } },
    ]),
  );
  const macs = nodes
    .filter(([name]) => name !== self)
    .map(([, , , mac]) => Uint8Array.from(Buffer.from(mac.replaceAll(':', ''), 'hex')));
  try {
    await tables.write({
      contents: tierContents(self, services, reachable),
      devices: [{ name: device, index }],
      macs,
    });
    process.stdout.write('written\n');
  } catch (error) {
    process.stdout.write(`${(error as Error).message.replaceAll('\n', ' ')}\n`);
  }
});
