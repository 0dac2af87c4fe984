/**
 * One history: objects that come and go, strangers, failing calls, an API server that is away, signals, restarts, kills, other
 * configurations, another proxy that takes the node over for a while; then quiet. What must hold is written where it is looked at.
 * Everything follows from the seed.
 */
import { Chance } from './Chance.js';
import { Cluster } from './Cluster.js';
import { describeHost, disownedServers } from './describeHost.js';
import { type Listeners, takeOverServers } from './Listeners.js';
import { MODES, type Mode } from './modes.js';
import { OtherProxy } from './OtherProxy.js';
import { configText, SimulatedAgent } from './SimulatedAgent.js';
import { FAIR, SimulatedHost } from './SimulatedHost.js';
import { SteadyService } from './SteadyService.js';
import { Stranger } from './Stranger.js';
import { takeOverTime, VirtualTime } from './VirtualTime.js';
import type { World } from './World.js';

let present = new VirtualTime();
let listening: Listeners | undefined;
takeOverTime(() => present);
takeOverServers(() => {
  if (!listening) throw new Error('no host listens');
  return listening;
});

/** Long enough for the longest back-off (30 s, and half of it more) and a look at everything. Milliseconds. */
const QUIET_MS = 100_000;
/** Besides the mode: for the whole agent, for the rules, in force at once. */
const FIELDS = [
  '',
  '',
  'clusterCIDR: 10.244.0.0/16,fd00:10::/32\n',
  // With loopback, as the guard of KUBE-FIREWALL, which is kubelet's too, stays once it was needed.
  'nodePortAddresses: ["192.168.0.0/16", "127.0.0.0/8"]\n',
  'conntrack: {udpTimeout: 10s}\n',
] as const;
/** An orderly end takes no longer; by then the process ends whatever hangs (ProcessSignals.ts). */
const STOP_MS = 60_000;

export interface HistoryOptions {
  readonly modes?: readonly Mode[];
  /** Hears everything that happens. */
  readonly say?: (line: string) => void;
}

export interface HistoryReport {
  readonly steps: number;
  /** Milliseconds of the simulated node. */
  readonly lived: number;
}

/** Rejects with what did not hold. */
export async function liveHistory(seed: number, options: HistoryOptions = {}): Promise<HistoryReport> {
  present = new VirtualTime();
  const history = new History(new Chance(seed), options);
  await history.live();
  return { steps: history.steps, lived: present.now() };
}

class History {
  readonly #chance: Chance;
  readonly #world: World;
  readonly #stranger: Stranger;
  readonly #steady: SteadyService;
  readonly #modes: readonly Mode[];
  readonly #say: (line: string) => void;
  readonly #other: OtherProxy;
  #agent: SimulatedAgent;
  steps = 0;

  constructor(chance: Chance, { modes = MODES, say }: HistoryOptions) {
    this.#chance = chance;
    this.#modes = modes;
    this.#say = (line) => say?.(`${(present.now() / 1000).toFixed(3).padStart(9)} ${line}`);
    const host = new SimulatedHost(present, chance);
    listening = host.listeners;
    this.#world = {
      time: present,
      chance,
      cluster: new Cluster(present, chance),
      host,
      say: say && this.#say,
    };
    this.#stranger = new Stranger(host, chance, this.#say);
    this.#steady = new SteadyService(host);
    host.stranger = () => this.#spoil();
    host.written = () => this.#steady.look(`at ${(present.now() / 1000).toFixed(3)} s`);
    this.#other = new OtherProxy(host, this.#world.cluster);
    host.disk.config = configText(chance.pick(modes));
    this.#agent = this.#process();
  }

  async live(): Promise<void> {
    const { time, cluster, host } = this.#world;
    this.#stranger.settle();
    for (let i = this.#chance.below(8); i > 0; i--) cluster.change();
    await this.#start();
    host.weather = {
      failures: this.#chance.pick([0, 0, 5, 20]),
      strangers: this.#chance.pick([0, 0, 3, 15]),
    };
    this.#say(`mode ${this.#agent.mode}, weather ${JSON.stringify(host.weather)}`);
    for (let i = 3 + this.#chance.below(12); i > 0; i--) {
      await this.#step();
      this.steps++;
    }
    host.weather = FAIR;
    cluster.comeBack();
    cluster.tidyUp();
    host.disk.hasLeaveNote = false;
    await this.#endOther();
    this.#say('quiet');
    await time.pass(QUIET_MS);
    await this.#judge();
  }

  async #step(): Promise<void> {
    const chance = this.#chance;
    const { time, cluster, host } = this.#world;
    const act = chance.below(22);
    if (act < 9) for (let i = 1 + chance.below(3); i > 0; i--) cluster.change();
    else if (act < 12) this.#spoil();
    else if (act < 13) this.#say(`the API server: ${cluster.stumble()}`);
    else if (act < 14) {
      if (cluster.isAway) cluster.comeBack();
      else cluster.goAway();
      this.#say(`the API server ${cluster.isAway ? 'goes away' : 'is back'}`);
    } else if (act < 15) {
      this.#say('kill');
      this.#agent.kill();
      await this.#renew();
    } else if (act < 16) {
      this.#say('restart');
      await this.#stop();
      await this.#renew();
    } else if (act < 17) host.kernel.overrun();
    else if (act < 19) await this.#reload();
    else if (act < 21) await this.#leaveOrReturn();
    await time.pass(chance.pick([0, 1, 50, 500, 3000, 20_000]));
    this.#promise();
  }

  /** Another configuration, or one that nobody can make sense of. */
  async #reload(): Promise<void> {
    const chance = this.#chance;
    const { time, host } = this.#world;
    const mode = chance.percent(60) ? chance.pick(this.#modes) : this.#agent.mode;
    if (mode !== this.#agent.mode) await this.#endOther();
    if (chance.percent(20)) {
      this.#say('a configuration that is none');
      host.disk.config = 'mode: {nonsense';
      if (chance.percent(50)) this.#agent.signal('SIGHUP');
      await time.pass(chance.pick([0, 5000]));
    }
    this.#say(`reload, mode ${mode}`);
    host.disk.config = configText(mode) + chance.pick(FIELDS);
    // The file is looked at too.
    if (chance.percent(70)) this.#agent.signal('SIGHUP');
    // Its connections end with the process, so it takes another one.
    const needsProcess = [mode, this.#agent.mode].includes('userspace');
    if (!needsProcess) return;
    await time.pass(chance.pick([0, 3000]));
    await this.#stop();
    await this.#renew();
  }

  /** penstock leave, and kube-proxy beside it; and back. */
  async #leaveOrReturn(): Promise<void> {
    const { disk } = this.#world.host;
    disk.hasLeaveNote = !disk.hasLeaveNote;
    this.#say(disk.hasLeaveNote ? 'penstock leave' : 'penstock leave --cancel');
    const { mode } = this.#agent;
    const isApart = mode === 'nftables' || mode === 'userspace';
    if (disk.hasLeaveNote && isApart && this.#chance.percent(70)) {
      this.#say('kube-proxy writes its rules');
      await this.#other.sync();
    }
  }

  async #endOther(): Promise<void> {
    if (!this.#other.runs) return;
    await this.#other.end();
    this.#steady.spoiled();
  }

  #spoil(): void {
    this.#stranger.act();
    this.#steady.spoiled();
  }

  /** What holds at every moment. */
  #promise(): void {
    if (this.#steady.broken !== undefined) throw new Error(this.#steady.broken);
    if (this.#agent.failure !== undefined) throw new Error(`the process ends: ${this.#agent.failure}`);
    const { stray } = this.#world.time;
    if (stray !== undefined) throw new Error(stray);
  }

  #process(): SimulatedAgent {
    return new SimulatedAgent(this.#world, (mode) => this.#steady.begin(mode));
  }

  async #renew(): Promise<void> {
    this.#agent = this.#process();
    await this.#start();
  }

  async #start(): Promise<void> {
    this.#agent.start();
    await present.pass(0);
  }

  /** In order: and nothing is left. */
  async #stop(): Promise<void> {
    const agent = this.#agent;
    agent.signal('SIGTERM');
    for (let waited = 0; !agent.hasEnded && waited < STOP_MS; waited += 100) await present.pass(100);
    if (!agent.hasEnded) throw new Error('the agent does not end');
    const left = agent.leftOver;
    if (left.length > 0) throw new Error(`left over at the end: ${left.join(', ')}`);
  }

  async #judge(): Promise<void> {
    const { host, cluster } = this.#world;
    const missing = this.#stranger.missing();
    if (missing.length > 0) throw new Error(`what is not ours is gone: ${missing.join(', ')}`);
    const { missing: unserved } = this.#steady;
    if (unserved.length > 0)
      throw new Error(`nothing leads to the steady Service over ${unserved.join(', ')}`);
    const found = describeHost(host, 'to the word');
    await this.#stop();
    const before = this.#written();
    // A restart finds everything right.
    await this.#renew();
    await present.pass(5000);
    difference('a restart changes what is served', describeHost(host, 'to the word'), found);
    const again = describeHost(host, 'in effect');
    if (this.#agent.mode !== 'userspace' && this.#written() !== before) {
      this.#say(`a restart writes: ${before} → ${this.#written()}`);
    }
    await this.#stop();
    this.#promise();
    // What a first start on an empty kernel makes of the same objects.
    const fresh = new SimulatedHost(present, this.#chance);
    listening = fresh.listeners;
    new Stranger(fresh, this.#chance, this.#say).settle();
    fresh.disk.config = host.disk.config;
    this.#agent = new SimulatedAgent({ ...this.#world, cluster, host: fresh });
    await this.#start();
    await present.pass(5000);
    // Nothing says whose these are, so they stay as they are.
    const disowned = disownedServers(host);
    const isSomebodys = (line: string) => !disowned.some((key) => line.includes(key));
    const first = describeHost(fresh, 'in effect').filter(isSomebodys);
    difference('not what a first start writes', first, again.filter(isSomebodys));
    fresh.kill();
  }

  #written(): string {
    const { kernel, xtables } = this.#world.host;
    return `${kernel.nftables.generation} ${xtables.IPv4.commits} ${xtables.IPv6.commits}`;
  }
}

function difference(what: string, expected: readonly string[], found: readonly string[]): void {
  // Lists of thousands of lines, mostly alike.
  const [wanted, seen] = [new Set(expected), new Set(found)];
  const [missing, surplus] = [
    expected.filter((line) => !seen.has(line)),
    found.filter((line) => !wanted.has(line)),
  ];
  if (missing.length + surplus.length === 0) return;
  const show = (sign: string, lines: readonly string[]) =>
    lines.slice(0, 12).map((line) => `${sign} ${line}`);
  throw new Error([what, ...show('-', missing), ...show('+', surplus)].join('\n'));
}
