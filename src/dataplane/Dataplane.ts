/** The one interface behind which the modes live. */
import type { Cidr, IpAddress, IpFamily } from '../net/ip.js';
import type { Problem } from '../objects/Problem.js';
import type { ChangeSet, ServicePortChange } from '../routing/ChangeSet.js';
import type { RoutingView } from '../routing/RoutingView.js';
import type { ServicePort } from '../routing/ServicePort.js';
import type { ChoiceReport } from './choice/Chooser.js';
import type { AcceptReport } from './wake/acceptSets.js';
import type { WakeReport } from './wake/Holder.js';

/** What one sync did in one IP family. */
export interface FamilyReport {
  readonly family: IpFamily;
  /** `full`: everything was written. `partial`: only what changed. `none`: the kernel was right already. */
  readonly kind: 'full' | 'partial' | 'none';
  /** Service ports whose rules were written or removed. */
  readonly written: number;
  /** Kernel transactions that this took. */
  readonly transactions: number;
  /** Milliseconds of the whole that were spent in writing to the kernel, its tools included. */
  readonly kernelMs: number;
  /** Milliseconds of the whole sync of this family. */
  readonly totalMs: number;
  /** Changes that let others go first: the next sync goes on with them, and is wanted at once. Undefined: there are none. */
  readonly waiting?: readonly ServicePortChange[] | undefined;
  /** Of a mode that writes all its rules through iptables-restore. */
  readonly rules?: readonly TableRules[];
}

/** Rules in our chains of one iptables table. */
export interface TableRules {
  readonly table: 'filter' | 'nat';
  readonly total: number;
  /** By this sync. */
  readonly written: number;
}

/** Packets that rules for all Services counted since the counters were made. Undefined where no rule counts. */
export interface RulePackets {
  /** Dropped for not belonging to any connection that is known. */
  readonly invalidDropped: number | undefined;
  /** The first of connections to node ports on loopback. */
  readonly localhostNodePortsAccepted: number | undefined;
}

export interface SyncReport {
  readonly families: readonly FamilyReport[];
  /** Service ports that the kernel refused and that were set aside, all that are so now. */
  readonly problems: readonly Problem[];
}

/** What the kernel counted for one service port at all its VIPs and its node port. Grows until the service port goes. */
export interface ServicePortCounters {
  readonly servicePort: ServicePort;
  /** Connections that were begun, also those that no endpoint could take. */
  readonly connections: number;
  /** Of the first packets of these connections. */
  readonly bytes: number;
}

/** Of a mode that carries the bytes itself. Counts grow until the service port or endpoint goes. */
export interface ProxyReport {
  /** TCP connections and UDP flows, now. */
  readonly active: number;
  /** Connections to destinations that no service port has. */
  readonly unknown: number;
  /** File descriptors in use by connections, now. */
  readonly descriptors: number;
  readonly servicePorts: Iterable<ProxiedServicePort>;
}

export interface ProxiedServicePort {
  readonly servicePort: ServicePort;
  readonly connections: number;
  readonly active: number;
  /** Attempts after the first. */
  readonly retries: number;
  /** Connections that no endpoint took in the end. */
  readonly failed: number;
  /** How many endpoints get no new connections now because they failed. */
  readonly ejected: number;
  /** Read when they are asked for. */
  readonly endpoints: Iterable<ProxiedEndpoint>;
}

export interface ProxiedEndpoint {
  readonly target: string;
  readonly connections: number;
  readonly active: number;
  readonly refused: number;
  readonly timedOut: number;
  readonly bytesTo: number;
  readonly bytesFrom: number;
  readonly isEjected: boolean;
}

/** Hears what a dataplane finds out by itself. Given to its constructor; nothing is told before the first sync. */
export interface DataplaneListener {
  /** Where the kernel tells of foreign changes: what was changed, as soon as it was. The next sync repairs it. */
  readonly foreignChange: (what: string) => void;
  /** A family could not be synced; the other may have been. */
  readonly familyFailed: (family: IpFamily) => void;
  /** A family was synced although the other could not be, which makes sync() reject. */
  readonly familySynced: (report: FamilyReport) => void;
  /** Each time that iptables-restore did not take what a sync wrote, also if the sync succeeds in the end. */
  readonly restoreFailed: (family: IpFamily, kind: 'full' | 'partial') => void;
  /**
   * Where a proxy's rules lead connections to, before they are written: connections are then held against these, not against
   * the endpoints.
   */
  readonly captured: (changes: ChangeSet) => void;
  /** Another process has taken over; this one should end. */
  readonly succeeded: () => void;
}

/** For those who want to know nothing of it. */
export const UNHEARD: DataplaneListener = {
  foreignChange: () => {},
  familyFailed: () => {},
  familySynced: () => {},
  restoreFailed: () => {},
  captured: () => {},
  succeeded: () => {},
};

/** What rules depend on that only their agent knows: whoever compares them with what they should be needs it. */
export interface RuleFacts {
  /** Group of nfnetlink_log; 0: nothing is logged. */
  readonly logGroup: number;
  readonly families: Readonly<Partial<Record<IpFamily, FamilyRuleFacts>>>;
  /** Tables of first packets that stand beside the rules. */
  readonly beside?: readonly BesideTable[];
}

export interface BesideTable {
  /** Where an endpoint is chosen, where first packets are held, where connections are accepted. */
  readonly kind: 'choice' | 'hold' | 'accept';
  /** QueueSettings or AcceptSettings, as JSON leaves them. */
  readonly settings: Readonly<Partial<Record<IpFamily, object>>>;
  /** Why it is not written although Services ask for it; '' where all is well. */
  readonly why: string;
}

/** A queue of first packets that some Service asks for. */
export interface QueueState {
  readonly kind: 'choice' | 'hold' | 'accept';
  /** Of nfnetlink_queue; null: there is none. */
  readonly queue: number | null;
  /** How many, whose numbers follow; 1 unless given. */
  readonly queues?: number;
  /** Why there is none, or its rules are not written; '' where all is well. */
  readonly why: string;
  /** What becomes of first packets without it. */
  readonly otherwise: string;
  /** Whether somebody lets packets pass when the thread hangs; a hold queue needs nobody. */
  readonly isWatched: boolean;
  /** How often they were let pass so. */
  readonly letPass: number;
}

export interface FamilyRuleFacts {
  /** Ports of ours on loopback that connections to node ports on loopback are redirected to. */
  readonly localhostPorts: { readonly tcp?: number; readonly udp?: number };
  /** 0 for none. */
  readonly divertMark: number;
  /** Where rules send connections, in mode userspace. */
  readonly engine?: {
    readonly address: IpAddress;
    readonly TCP: { readonly inside: number; readonly outside: number };
    readonly UDP: { readonly inside: number; readonly outside: number };
    /** TCP connections to cluster IPs in these ranges are left as they are. Absent: there are none. */
    readonly untranslated?: readonly Cidr[];
  };
}

/** What is in it the mode knows. */
export interface RuleDigest {
  /** Of the mode, as they are in force. */
  readonly options: unknown;
  readonly families: Readonly<Partial<Record<IpFamily, unknown>>>;
}

/** Names of sets of each family. */
export type SetsByFamily = Readonly<Partial<Record<IpFamily, readonly string[]>>>;

/** Some of the keys that a set must have. As JSON. */
export interface WantedKeysOfSet {
  readonly family: IpFamily;
  readonly set: string;
  /** Bytes of a key. */
  readonly length: number;
  /** One after the other, in base64. */
  readonly keys: string;
}

export const NO_RULE_FACTS: RuleFacts = { logGroup: 0, families: {} };

/** What an agent said of itself, as far as it can be understood: it may be of another version. */
export function readRuleFacts(said: unknown): RuleFacts {
  if (typeof said !== 'object' || said === null) return NO_RULE_FACTS;
  const { logGroup, families, beside } = said as Partial<RuleFacts>;
  if (typeof logGroup !== 'number' || typeof families !== 'object' || families === null) return NO_RULE_FACTS;
  return { logGroup, families, ...(Array.isArray(beside) && { beside }) };
}

export interface Dataplane {
  /** For logs: `iptables 1.8.9 (nft)`. */
  readonly description: string;
  /** The IP families that it serves on this host. */
  readonly families: readonly IpFamily[];
  /** Nothing is served on this host yet, also not by what an agent before this one has left, or by another proxy. Rejects when the kernel does not tell. */
  isUnserved?: (() => Promise<boolean>) | undefined;
  /**
   * Where that is so, before the first sync: what `table` has is written as a part of what there is, and the first sync adopts it.
   * Once something is served, further calls write the difference and withdraw what went. Resolves to the Services that are served now: `default/kubernetes`. Absent in modes that cannot.
   */
  serveEarly?: ((table: RoutingView) => Promise<readonly string[]>) | undefined;
  /** Makes the kernel agree with the table. `changes` are those since the last call; a failed call may be repeated. */
  sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport>;
  /** The next sync looks at everything that the kernel has, and repairs what differs: once in a while, whatever is known. */
  requireFull(): void;
  /** Looks for foreign changes; a sentence that says what is missing, or undefined. The next sync then repairs it. */
  verify(): Promise<string | undefined>;
  /**
   * What the rules must come to, for whoever compares them: JSON, worked out a bit each time that the generator goes on. Absent in modes
   * whose rules are compared line by line. It gives the keys of `keysOf` on the way, so that they can be asked for meanwhile.
   */
  digest?:
    | ((table: RoutingView, keysOf?: SetsByFamily) => Generator<WantedKeysOfSet | undefined, RuleDigest>)
    | undefined;
  /**
   * From now on nobody keeps the rules up to date: where another proxy has rules too, its own decide. Absent where the kernel has
   * no order among rules, or both proxies' are the same. After the last sync; the next one takes the place back.
   */
  standBack?: ((table: RoutingView) => Promise<void>) | undefined;
  /** Absent when nothing counts. For each service port of `table`, in its order. May be a second old. */
  connectionCounters?: ((table: RoutingView) => Promise<readonly ServicePortCounters[]>) | undefined;
  /** Absent in modes without such rules. Rejects when the kernel does not tell. */
  rulePackets?: (() => Promise<RulePackets>) | undefined;
  /** Absent where the kernel carries the bytes. */
  proxyReport?: (() => ProxyReport) | undefined;
  /** Absent where no program chooses endpoints for the kernel; undefined while none has to. */
  choiceReport?: (() => ChoiceReport | undefined) | undefined;
  /** Absent where no first packet waits for anybody; undefined while no Service asks for that. */
  wakeReport?: (() => WakeReport | undefined) | undefined;
  /** Absent where there are none; empty while no Service asks for one. */
  queueStates?: (() => readonly QueueState[]) | undefined;
  /** Absent where the agent accepts no connections for who sleeps; undefined while no Service asks for that. */
  acceptReport?: (() => AcceptReport | undefined) | undefined;
  /** As they are now. Absent in modes whose rules depend on nothing that only the agent knows. */
  ruleFacts?: ((table: RoutingView) => RuleFacts) | undefined;
  /** Ends background work; leaves the rules in place. */
  close(): Promise<void>;
}
