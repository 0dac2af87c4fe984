/** In every mode: the kernel does not take one IP family. The other is served, and the agent hears which is which. */
import t from 'tap';
import { type Dataplane, type DataplaneListener, UNHEARD } from '../../../src/dataplane/Dataplane.js';
import { IptablesDataplane } from '../../../src/dataplane/iptables/IptablesDataplane.js';
import { IpvsDataplane } from '../../../src/dataplane/ipvs/IpvsDataplane.js';
import { NftablesDataplane } from '../../../src/dataplane/nftables/NftablesDataplane.js';
import { PenstockError } from '../../../src/errors.js';
import type { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import type { Sysctls } from '../../../src/kernel/sysctl/Sysctls.js';
import { IP_FAMILIES, type IpFamily } from '../../../src/net/ip.js';
import { endpoint, service, slice, tableOf } from '../../support/builders.js';
import { FakeXtables } from '../../support/FakeXtables.js';
import { GOLDEN_OPTIONS } from '../../support/goldenTable.js';
import { ModelIpvs } from '../../support/ModelIpvs.js';

/** A dataplane, and the way to make its kernel refuse one family, or none. */
interface World {
  readonly dataplane: Dataplane;
  readonly refuse: (family: IpFamily | undefined) => void;
}

const sysctls = { read: () => '0', ensure: () => {} } as unknown as Sysctls;
const close = async () => {};
const common = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  nodePortAddresses: [],
  detectLocal: { type: 'None' },
} as const;

async function iptables(listener: DataplaneListener): Promise<World> {
  const fakes = IP_FAMILIES.map((family) => new FakeXtables({ family }));
  const dataplane = new IptablesDataplane(
    GOLDEN_OPTIONS,
    {
      tools: await Promise.all(fakes.map((fake) => fake.open())),
      sysctls,
      createCounters: async () => false,
      readCounters: async () => new Map(),
      watch: { state: async () => '0', isOurs: () => true },
      close,
      addresses: () => [],
    },
    listener,
  );
  const refuse: World['refuse'] = (family) => {
    for (const fake of fakes) fake.refuses = () => fake.family === family;
  };
  return { dataplane, refuse };
}

async function ipvs(listener: DataplaneListener): Promise<World> {
  const kernels = IP_FAMILIES.map((family) => new ModelIpvs(family));
  const timeouts = { tcp: 0, tcpFin: 0, udp: 0 };
  const dataplane = new IpvsDataplane(
    { ...common, scheduler: 'rr', excludeCIDRs: [], strictARP: false, timeouts, syncPeriodMs: 30_000 },
    {
      description: 'ipvs',
      kernels,
      addresses: () => [],
      randomFully: true,
      localhostPorts: () => ({}),
      rulesState: async () => undefined,
      close,
    },
    listener,
  );
  const refuse: World['refuse'] = (family) => {
    for (const kernel of kernels) kernel.failsAfter = kernel.family === family ? 0 : undefined;
  };
  return { dataplane, refuse };
}

async function nftables(listener: DataplaneListener): Promise<World> {
  let refused: IpFamily | undefined;
  const tables = IP_FAMILIES.map((family) => ({
    family,
    name: 'penstock',
    committed: 0,
    readState: async () => undefined,
    check: async () => new Error('EINVAL'),
    commit: async () => {
      if (family === refused) throw new PenstockError('PENSTOCK_NFTABLES_REFUSED', 'EINVAL');
    },
  }));
  const dataplane = new NftablesDataplane(
    { ...common, answerPing: true, counters: false },
    {
      tables: tables as unknown as NftablesTable[],
      generation: async () => 0,
      watch: () => {},
      localhostPorts: () => ({}),
      close,
      addresses: () => [],
    },
    listener,
  );
  const refuse: World['refuse'] = (family) => {
    refused = family;
  };
  return { dataplane, refuse };
}

for (const [mode, open] of Object.entries({ iptables, ipvs, nftables })) {
  t.test(mode, async (t) => {
    const heard: string[] = [];
    const { dataplane, refuse } = await open({
      ...UNHEARD,
      familyFailed: (family) => heard.push(`${family} failed`),
      familySynced: ({ family }) => heard.push(`${family} synced`),
    });
    t.teardown(() => dataplane.close());
    t.strictSame(dataplane.families, IP_FAMILIES);
    const table = tableOf([service(), slice([endpoint('10.244.0.1')])]);
    const sync = () => dataplane.sync(table, table.commit());
    refuse('IPv6');
    for (const attempt of ['first', 'second']) {
      await t.rejects(sync(), attempt);
      t.strictSame(heard.splice(0), ['IPv6 failed', 'IPv4 synced'], attempt);
    }
    refuse(undefined);
    const { families } = await sync();
    t.strictSame(
      families.map(({ family }) => family),
      IP_FAMILIES,
    );
    t.strictSame(heard, [], 'both are in the report');
  });
}
