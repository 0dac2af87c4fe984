/** Somebody changes the table at every moment of the first sync, and of one of many elements: it is noticed, and put back. */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { UNHEARD } from '../../../src/dataplane/Dataplane.js';
import { isNotOurs, TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane } from '../../../src/dataplane/nftables/NftablesDataplane.js';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { readGeneration } from '../../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { TableWatch } from '../../../src/kernel/nftables/table/TableWatch.js';
import type { IpFamily } from '../../../src/net/ip.js';
import { endpoint, ip, service, slice, tableOf, upsert } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
import {
  everything,
  HOST_ADDRESSES,
  OPTIONS,
  openChannel,
  openDataplane,
} from '../../support/nftablesWorld.js';

/** Called before and after each thing that is asked of the kernel. */
type Hook = (what: string) => void;

class HookedTable extends NftablesTable {
  readonly #hook: Hook;

  constructor(channel: NetlinkChannel, family: IpFamily, hook: Hook) {
    super(channel, family, TABLE);
    this.#hook = hook;
  }

  override readState() {
    return around(`readState ${this.family}`, this.#hook, () => super.readState());
  }

  override awaitOthers() {
    return around(`awaitOthers ${this.family}`, this.#hook, () => super.awaitOthers());
  }

  override commit(transaction: Parameters<NftablesTable['commit']>[0]) {
    return around(`commit ${this.family}`, this.#hook, () => super.commit(transaction));
  }
}

async function around<T>(what: string, hook: Hook, work: () => Promise<T>): Promise<T> {
  hook(`before ${what}`);
  const result = await work();
  hook(`after ${what}`);
  return result;
}

function openHooked(hook: Hook, repair: () => void): NftablesDataplane {
  const channel = openChannel();
  const watching = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  return new NftablesDataplane(
    OPTIONS,
    {
      tables: (['IPv4', 'IPv6'] as const).map((family) => new HookedTable(channel, family, hook)),
      addresses: () => HOST_ADDRESSES,
      generation: () => around('generation', hook, () => readGeneration(channel)),
      watch: (handlers) => {
        hook('before watch');
        const options = { table: TABLE, ownPort: channel.portId, ignores: isNotOurs, ...handlers };
        const watch = new TableWatch(watching, options);
        hook('after watch');
        return {
          pause: () => {
            hook('before pause');
            watch.pause();
            hook('after pause');
          },
          resume: () => {
            hook('before resume');
            watch.resume();
            hook('after resume');
          },
        };
      },
      localhostPorts: () => ({ tcp: 40_001, udp: 40_002 }),
      close: async () => {
        watching.close();
        channel.close();
      },
    },
    { ...UNHEARD, foreignChange: repair },
  );
}

const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  'the table of IPv4 is deleted': ['delete', 'table', 'ip', TABLE],
  'the table of IPv6 is deleted': ['delete', 'table', 'ip6', TABLE],
  'a map is emptied': ['flush', 'map', 'ip', TABLE, 'endpoints'],
  'a chain is emptied': ['flush', 'chain', 'ip', TABLE, 'services'],
};

function nft(words: readonly string[]): boolean {
  try {
    execFileSync('nft', words, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A table of maglev, 4093 elements: more than are written while each is told. */
const HASHED = [
  upsert(
    service({ name: 'hashed', options: { algorithm: 'maglev' }, clusterIPs: { IPv4: ip('10.96.77.77') } }),
  ),
  upsert(slice([endpoint('10.1.77.1'), endpoint('10.1.77.2')], { name: 'hashed-1', serviceName: 'hashed' })),
];

if (await inNetns(import.meta.url)) {
  for (const [foreign, words] of Object.entries(FOREIGN)) {
    for (const start of ['from nothing', 'with what an agent left'] as const) {
      t.test(`${foreign}, ${start}`, async (t) => {
        let moments = 0;
        let effective = 0;
        for (let moment = 0; moment <= moments; moment++) {
          nft(['delete', 'table', 'ip', TABLE]);
          nft(['delete', 'table', 'ip6', TABLE]);
          const table = tableOf(everything());
          const changes = table.commit();
          if (start !== 'from nothing') {
            const former = openDataplane();
            await former.sync(table, changes);
            await former.close();
          }
          let at = '';
          let changed = false;
          let seen = 0;
          let repairs = 0;
          const hook: Hook = (what) => {
            if (seen++ !== moment) return;
            at = what;
            changed = nft(words);
            if (changed) effective++;
          };
          const dataplane = openHooked(hook, () => void repairs++);
          const nothing = table.commit();
          let wrong = false;
          const isWrong = async () => {
            wrong ||= (await dataplane.verify()) !== undefined;
            return wrong;
          };
          // As the agent does: again until it succeeds, and whenever the dataplane hears of something.
          await dataplane.sync(table, changes).catch(() => dataplane.sync(table, nothing));
          moments = Math.max(moments, seen);
          // From here on the kernel tells, a little later.
          const isTold =
            changed && (at === 'after watch' || (at.endsWith('generation') && moment === seen - 1));
          if (isTold) t.ok(await eventually(async () => repairs > 0 || (await isWrong())), `${at}: heard`);
          if (repairs > 0 || (await isWrong())) await dataplane.sync(table, nothing);
          await dataplane.close();
          const other = openDataplane();
          const { families } = await other.sync(table, changes);
          await other.close();
          const found = families.map(({ kind }) => kind);
          if (found.some((kind) => kind !== 'none'))
            t.same(found, ['none', 'none'], `${at} (moment ${moment}), heard ${repairs} times`);
        }
        t.ok(moments >= 10, `${moments} moments`);
        t.ok(effective >= 2, `in ${effective} of them there was something to change`);
      });
    }
  }

  t.test('a map is emptied while many elements are written', async (t) => {
    const seenAt = new Set<string>();
    let moments = 0;
    let effective = 0;
    for (let moment = 0; moment <= moments; moment++) {
      const table = tableOf(everything());
      let armed = false;
      let seen = 0;
      let repairs = 0;
      const hook: Hook = (what) => {
        if (!armed) return;
        seenAt.add(what);
        if (seen++ === moment && nft(FOREIGN['a map is emptied'] ?? [])) effective++;
      };
      const dataplane = openHooked(hook, () => void repairs++);
      await dataplane.sync(table, table.commit());
      table.apply(HASHED);
      const changes = table.commit();
      armed = true;
      // As the agent does: again, when the kernel refuses what the change made impossible.
      await dataplane.sync(table, changes).catch(() => dataplane.sync(table, table.commit()));
      armed = false;
      moments = Math.max(moments, seen);
      const other = openDataplane();
      const isWhole = async () => {
        if (repairs > 0 || (await dataplane.verify()) !== undefined)
          await dataplane.sync(table, table.commit());
        const { families } = await other.sync(table, { ...changes });
        other.requireFull();
        return families.every(({ kind }) => kind === 'none');
      };
      // What was changed before the pause or after the end is told a little later.
      await sleep(20);
      t.ok(await isWhole(), `moment ${moment}, heard ${repairs} times`);
      await other.close();
      await dataplane.close();
    }
    t.ok(effective >= 8, `in ${effective} of ${moments} moments there was something to change`);
    for (const what of ['after pause', 'before resume', 'before awaitOthers IPv4'])
      t.ok(seenAt.has(what), `${what} was one of them`);
  });
}
