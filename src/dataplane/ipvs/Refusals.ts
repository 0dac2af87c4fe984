/** What the kernel refused: found, left out so that all else is served, reported, and tried again after a while. */
import { messageOf, PenstockError } from '../../errors.js';
import { virtualServerKey } from '../../kernel/ipvs/VirtualServer.js';
import type { IpFamily } from '../../net/ip.js';
import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { Milliseconds } from '../../time/duration.js';
import { isMomentary, MOMENTARY_RETRY_MS } from '../family/momentary.js';
import { SetAside } from '../family/SetAside.js';
import type { DesiredState } from './desired/DesiredState.js';
import { serverEntries } from './desired/serverEntries.js';
import type { FamilyKernel } from './kernel/FamilyKernel.js';
import type { WriteOutcome } from './plan/writePlan.js';

/** Until what was refused is tried again as it is, the first time. */
const RETRY_MS: Milliseconds = 600_000;

/** The kernel is not as we remember it; a second look tells. */
const SURPRISES: readonly string[] = ['EEXIST', 'ENOENT', 'ESRCH'];

type RefusedServer = WriteOutcome['refused'][number];

export class Refusals {
  readonly #family: IpFamily;
  /** Service ports, and what is refused otherwise by keys of its own. */
  readonly setAside = new SetAside({ retryMs: RETRY_MS });
  readonly missingSchedulers = new Set<string>();
  #last: Error | undefined;

  constructor(family: IpFamily) {
    this.#family = family;
  }

  /** Whether the time of any has come: all is to be tried as it is wanted. */
  isDue(now: Milliseconds): boolean {
    const due = this.setAside.due(now);
    for (const key of due) this.missingSchedulers.delete(key.replace(SCHEDULER, ''));
    return due.length > 0;
  }

  /** True when nothing was refused that another attempt could help. Rejects when nobody in particular is at fault. */
  async take(
    { refused, errors }: WriteOutcome,
    ports: ReadonlyMap<string, ServicePort>,
    desired: DesiredState,
    kernel: FamilyKernel,
    now: Milliseconds,
    notOurs: Set<string>,
  ): Promise<boolean> {
    for (const error of errors)
      this.#add(`element ${error.message}`, `IPVS (${this.#family})`, error.message, now);
    for (const each of refused) {
      this.#last = each.error;
      const { change, error } = each;
      if (change.action === 'add service' && error.code === 'EEXIST') {
        const key = virtualServerKey(change.service);
        const server = desired.server(key);
        // Somebody else made it since we looked. Our record must not say that it is ours.
        notOurs.add(key);
        if (server) await kernel.changeEntries('delete', serverEntries(server));
      } else if (!this.#missesScheduler(each, desired, now) && !SURPRISES.includes(error.code)) {
        this.#setAside(each, ports, now);
      }
    }
    return refused.length === 0;
  }

  problems(desired: DesiredState | undefined): Problem[] {
    const foreign = [...(desired?.blocked ?? [])].map(([key, { port }]) => foreignProblem(key, port));
    return [...this.setAside.problems(), ...foreign];
  }

  /** What to say when the attempts do not end. */
  tooMany(): Error {
    const why = this.#last ? messageOf(this.#last) : 'it was never as expected';
    return new PenstockError(
      'PENSTOCK_IPVS_REFUSED',
      `IPVS (${this.#family}) refuses what is written: ${why}`,
      {
        cause: this.#last,
        remedy: 'See whether another program changes virtual servers on this node (ipvsadm -Ln).',
      },
    );
  }

  #missesScheduler({ change, error }: RefusedServer, desired: DesiredState, now: Milliseconds): boolean {
    if (change.action !== 'add service' && change.action !== 'set service') return false;
    if (error.code !== 'ENOENT') return false;
    const { scheduler } = change.service;
    const { scheduler: usual } = desired.settings;
    const remedy = `Load it on the host: modprobe ip_vs_${scheduler}`;
    if (scheduler === usual) {
      const message = `this kernel does not have the scheduler ${scheduler}`;
      throw new PenstockError('PENSTOCK_IPVS_SCHEDULER', message, { cause: error, remedy });
    }
    this.missingSchedulers.add(scheduler);
    const message = `this kernel does not have it; Services that ask for it get ${usual}. ${remedy}`;
    this.#add(`${SCHEDULER}${scheduler}`, `scheduler ${scheduler}`, message, now);
    return true;
  }

  #setAside(
    { owner, error }: RefusedServer,
    ports: ReadonlyMap<string, ServicePort>,
    now: Milliseconds,
  ): void {
    const port = owner === undefined ? undefined : ports.get(owner);
    if (!port) throw error;
    if (!this.setAside.isWaiting(owner ?? '')) {
      const retryMs = isMomentary(error) ? MOMENTARY_RETRY_MS : RETRY_MS;
      this.setAside.addServicePort(port, `The kernel refused it: ${error.message}`, now, retryMs);
    }
  }

  #add(key: string, subject: string, message: string, now: Milliseconds): void {
    if (!this.setAside.isWaiting(key)) this.setAside.add(key, { subject, message }, now);
  }
}

/** What keys of schedulers begin with; no service port's does. */
const SCHEDULER = 'scheduler ';

function subjectOf({ namespace, service }: ServicePort): string {
  return objectName({ kind: 'Service', namespace, name: service });
}

function foreignProblem(key: string, port: ServicePort): Problem {
  const message =
    `somebody else made virtual server ${key}, so it stays as it is and the Service is not served there. ` +
    'If nobody needs it: ipvsadm -D';
  return { subject: subjectOf(port), message };
}
