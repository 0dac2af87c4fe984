/**
 * A node of layer 2 as a program: `node layer2Node.js NAME INTERFACE` in the node's network namespace. Reads one JSON
 * command a line, writes one JSON event a line.
 */
import { createInterface } from 'node:readline';
import { Layer2, type LocalWish } from '../../../src/balancer/layer2/Layer2.js';
import type { Member } from '../../../src/balancer/membership/Member.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { systemClock } from '../../../src/time/Clock.js';

export interface NodeCommand {
  /** Names and addresses; `connected`: as MembershipView. */
  readonly members?: readonly (readonly [name: string, address: string])[];
  /** Names of members whose Lease has run out. */
  readonly stale?: readonly string[];
  readonly connected?: boolean;
  readonly wishes?: readonly string[];
  readonly movedTo?: string;
  /** Milliseconds from now. */
  readonly freshFor?: number;
  readonly leave?: boolean;
  readonly status?: boolean;
}

const [, , node = '', index = '0', port = '7790'] = process.argv;
const say = (event: object) =>
  process.stdout.write(`${JSON.stringify({ at: performance.timeOrigin + performance.now(), ...event })}\n`);
const layer2 = new Layer2({
  node,
  openResponder: (onEvents) =>
    new (nativeAddon().AnnounceResponder)({ node, port: Number(port), everyMs: 200, lost: 5 }, onEvents),
  endsWithAgent: false,
  clock: systemClock,
  random: Math.random,
  listener: {
    announcing: (address, _index, announces, peer) => say({ event: 'announcing', address, announces, peer }),
    conflict: (address, _index, mac) => say({ event: 'conflict', address, mac }),
    paused: (milliseconds) => say({ event: 'paused', milliseconds }),
    peerChanged: (name, state) => say({ event: 'peer', name, state }),
    interfaceFailed: (failed, errno) => say({ event: 'interfaceFailed', failed, errno }),
  },
});
layer2.setInterfaces([{ index: Number(index), linkLocal: undefined }]);
say({ event: 'ready' });

createInterface(process.stdin)
  .on('line', async (line) => {
    const command = JSON.parse(line) as NodeCommand;
    if (command.freshFor !== undefined) layer2.setFreshUntil(layer2.now() + command.freshFor);
    if (command.members) {
      const members = command.members.map(([name, address]): [string, Member] => [
        name,
        {
          name,
          address: address as IpAddress,
          fresh: !command.stale?.includes(name),
          macs: [],
          subnets: [],
          advertises: undefined,
        },
      ]);
      layer2.setMembership({ members: new Map(members), connected: command.connected ?? true });
    }
    if (command.wishes) layer2.setWishes(command.wishes.map((address) => wish(address, command.movedTo)));
    if (command.leave) {
      await layer2.leave(5500);
      say({ event: 'left' });
    }
    if (command.status) say({ event: 'status', ...layer2.status() });
  })
  .on('close', () => {
    layer2.close();
    process.exit(0);
  });

function wish(address: string, movedTo: string | undefined): LocalWish {
  return {
    address: address as IpAddress,
    interfaces: [Number(index)],
    advertisements: [],
    nodes: undefined,
    movedTo,
  };
}
