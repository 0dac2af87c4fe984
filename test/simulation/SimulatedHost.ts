/** What of a node survives its agent: the kernel's tables, iptables, IPVS; and what goes wrong between them. */

import type { FamilyKernel } from '../../src/dataplane/ipvs/kernel/FamilyKernel.js';
import { readSavedRules } from '../../src/dataplane/ipvs/rules/planRules.js';
import type { ConntrackEntry } from '../../src/kernel/conntrack/ConntrackEntry.js';
import { NetlinkProtocol } from '../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../src/kernel/netlink/NetlinkChannel.js';
import { NetlinkError } from '../../src/kernel/netlink/NetlinkError.js';
import type { CommandResult, ProgramRunner } from '../../src/kernel/xtables/runCommand.js';
import { XtablesTool } from '../../src/kernel/xtables/XtablesTool.js';
import { IP_FAMILIES, type IpFamily } from '../../src/net/ip.js';
import type { Clock } from '../../src/time/Clock.js';
import { FakeXtables } from '../support/FakeXtables.js';
import { ModelIpvs } from '../support/ModelIpvs.js';
import { ModelKernel } from '../support/model/ModelKernel.js';
import type { Fault } from '../support/model/ModelSocket.js';
import { remembered } from '../support/remembered.js';
import type { Chance } from './Chance.js';
import { Listeners } from './Listeners.js';
import type { VirtualTime } from './VirtualTime.js';

/** How often a call of the agent fails, in percent; 0: never. */
export interface Weather {
  readonly failures: number;
  /** Somebody else acts before a call. */
  readonly strangers: number;
}

export const FAIR: Weather = { failures: 0, strangers: 0 };

/** Errors that the kernel gives for reasons of its own. */
const ERRORS = { ENOMEM: 12, EBUSY: 16, ENOBUFS: 105, EINTR: 4, ENOSPC: 28 } as const;
const LOCKED =
  'Another app is currently holding the xtables lock; still 5s 0us time ahead to have a chance...';
const VERSION = { text: '1.8.9', backend: 'nft', randomFully: true } as const;

/** As modes/nftablesMode.ts has them. */
const SEND_BUFFER_BYTES = 256 * 1024 * 1024;
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

const savedRules = remembered(readSavedRules);

/** No process. */
const NONE = -1;

function noAnswer(): NetlinkError {
  return new NetlinkError('ask the model', { errno: -110 });
}

/** What is written on the disk of the node. */
export interface Disk {
  config: string;
  hasLeaveNote: boolean;
}

export class SimulatedHost {
  readonly disk: Disk = { config: '', hasLeaveNote: false };
  readonly kernel: ModelKernel;
  readonly xtables: Readonly<Record<IpFamily, FakeXtables>>;
  readonly ipvs: Readonly<Record<IpFamily, ModelIpvs>>;
  /** Health-check node ports. */
  readonly listeners: Listeners;
  weather: Weather = FAIR;
  /** Somebody else; told what there is to spoil by whoever makes the history. */
  stranger: () => void = () => {};
  /** Elements of ipsets that somebody took away: nothing says any more whose the virtual servers are that they stood for. */
  readonly disowned = new Set<string>();
  /** After anything was written by the agent. */
  written: () => void = () => {};
  /** The agent that runs now; a call of an older one never ends. */
  #process = NONE;
  readonly #time: VirtualTime;
  readonly #chance: Chance;

  constructor(time: VirtualTime, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
    this.kernel = new ModelKernel({
      now: () => time.now(),
      later: (callback) => {
        const process = this.#process;
        time.afterForAll(this.#delay(), () => {
          if (process === this.#process) callback();
        });
      },
    });
    this.kernel.fault = (_socket, messages) => {
      this.kernel.partBytes = chance.pick([500, 4096, 32_768]);
      return this.#fault(messages.length);
    };
    this.kernel.meanwhile = () => this.#meanwhile();
    this.kernel.committed = () => this.written();
    this.listeners = new Listeners({ time, chance, failures: () => this.weather.failures });
    const xtables = (family: IpFamily) => new FakeXtables({ family, backend: 'nft' });
    this.xtables = { IPv4: xtables('IPv4'), IPv6: xtables('IPv6') };
    const ipvs = (family: IpFamily) => new ModelIpvs(family, this.xtables[family]);
    this.ipvs = { IPv4: ipvs('IPv4'), IPv6: ipvs('IPv6') };
  }

  /** The kernel takes its time, now and then. */
  #delay(): number {
    return this.weather.failures > 0 && this.#chance.percent(10) ? this.#chance.below(200) : 0;
  }

  #meanwhile(): void {
    if (this.#chance.percent(this.weather.strangers)) this.stranger();
  }

  #fault(messages: number): Fault | undefined {
    const chance = this.#chance;
    if (!chance.percent(this.weather.failures)) return undefined;
    const [code, errno] = chance.pick(Object.entries(ERRORS));
    return chance.pick<Fault>([
      { type: 'send', code, errno },
      { type: 'refuse', message: chance.below(messages), errno },
      { type: 'refuse', message: chance.below(messages), errno },
      { type: 'lose' },
      { type: 'silent' },
    ]);
  }

  /** A new process of the agent begins; calls of the one before never end, as its memory is gone. */
  begin(): number {
    this.#process = this.#time.begin();
    return this.#process;
  }

  /** The agent is gone in the middle of whatever it does. */
  kill(): void {
    this.#time.kill(this.#process);
    this.#process = NONE;
    for (const socket of this.kernel.leftOver()) socket.close();
    this.listeners.clear();
  }

  isAlive(process: number): boolean {
    return process === this.#process;
  }

  channel(process: number, clock: Clock): NetlinkChannel {
    if (!this.isAlive(process))
      throw Object.assign(new Error('EMFILE: dead'), { code: 'EMFILE', errno: -24 });
    const socket = this.kernel.open(NetlinkProtocol.NETFILTER);
    socket.setSendBuffer(SEND_BUFFER_BYTES);
    socket.setReceiveBuffer(RECEIVE_BUFFER_BYTES);
    return new NetlinkChannel(socket, { clock });
  }

  tools(process: number): XtablesTool[] {
    return IP_FAMILIES.map(
      (family) => new XtablesTool(family, 'iptables', VERSION, this.#runner(process, this.xtables[family])),
    );
  }

  #runner(process: number, xtables: FakeXtables): ProgramRunner {
    return async (program, args, options) => {
      await this.#turn(process);
      this.#meanwhile();
      const chance = this.#chance;
      if (chance.percent(this.weather.failures)) {
        const what = chance.below(3);
        if (what === 0) throw Object.assign(new Error('spawn EAGAIN'), { code: 'EAGAIN', errno: -11 });
        if (what === 1) return { status: 4, stdout: '', stderr: `${LOCKED}\n` };
        // It was done, and then the program was killed.
        await xtables.run(program, args, options);
        if (program.endsWith('-restore')) this.written();
        return { status: 137, stdout: '', stderr: '' };
      }
      const result: CommandResult = await xtables.run(program, args, options);
      if (program.endsWith('-restore')) this.written();
      await this.#turn(process);
      return result;
    };
  }

  /** Others may do something before it goes on; never for the dead. */
  async #turn(process: number): Promise<void> {
    await new Promise<void>((resolve) => this.#time.set(this.#delay(), resolve));
    if (!this.isAlive(process)) await new Promise(() => {});
  }

  ipvsKernels(process: number): FamilyKernel[] {
    return IP_FAMILIES.map((family) => this.#ipvsKernel(process, this.ipvs[family], family));
  }

  #ipvsKernel(process: number, model: ModelIpvs, family: IpFamily): FamilyKernel {
    const tool = this.tools(process).find((each) => each.family === family);
    if (!tool) throw new TypeError('a tool for each family');
    const call = async <Result>(act: () => Promise<Result>): Promise<Result> => {
      await this.#turn(process);
      this.#meanwhile();
      const trouble = this.#chance.percent(this.weather.failures) ? this.#chance.pick(['none', 'all']) : '';
      if (trouble === 'none') throw noAnswer();
      const result = await act();
      this.written();
      await this.#turn(process);
      // All of it was done, and nobody knows.
      if (trouble === 'all') throw noAnswer();
      return result;
    };
    return {
      family,
      prepare: () => call(() => model.prepare()),
      read: (known) => call(() => model.read(known)),
      changeServers: (changes) => call(() => model.changeServers(changes)),
      changeEntries: (direction, entries) => call(() => model.changeEntries(direction, entries)),
      changeAddresses: (direction, addresses) => call(() => model.changeAddresses(direction, addresses)),
      realServers: (server) => call(() => model.realServers(server)),
      readRules: () => call(async () => savedRules(await tool.saveAll())),
      writeRules: (input) => call(() => tool.restore(input)),
    };
  }

  /** All connections that the kernel tracks: none. To ask for them may fail. */
  connections(process: number): readonly ConntrackEntry[] {
    if (!this.isAlive(process)) throw noAnswer();
    this.#meanwhile();
    if (this.#chance.percent(this.weather.failures)) throw noAnswer();
    return [];
  }

  /** How often anybody has changed rules of iptables. */
  ruleCommits(): number {
    return this.xtables.IPv4.commits + this.xtables.IPv6.commits;
  }
}
