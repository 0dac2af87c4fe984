/** IPVS, sets, addresses and rules in the kernel against what a full sync would leave, in ipvsadm's and ipset's words. */
import { printChange } from '../../kernel/ipvs/printChange.js';
import { ruleForm } from '../../kernel/xtables/ruleForm.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type KernelDifference, nothingThere } from '../KernelDifference.js';
import { DesiredState, nothingTouched } from './desired/DesiredState.js';
import type { IpvsSettings } from './desired/IpvsSettings.js';
import { placeElement } from './desired/SetEntry.js';
import { kernelName } from './desired/sets.js';
import type { FamilyKernel } from './kernel/FamilyKernel.js';
import { adoptMarks } from './plan/adoptMarks.js';
import { Drains } from './plan/Drains.js';
import type { OwnedChange } from './plan/Plan.js';
import { foreignServers, planFull } from './plan/planFull.js';
import * as chain from './rules/chains.js';
import { fixedRules } from './rules/fixedRules.js';
import type { SavedRules } from './rules/planRules.js';

const ADDS: readonly string[] = ['add service', 'add destination'];

/** Writes nothing. Rejects with NetlinkError, or when iptables fails. */
export async function differences(
  kernel: Pick<FamilyKernel, 'family' | 'read' | 'readRules'>,
  ports: ReadonlyMap<string, ServicePort>,
  settings: IpvsSettings,
): Promise<readonly KernelDifference[]> {
  const [present, saved] = await Promise.all([kernel.read(() => false), kernel.readRules()]);
  if (present.sets.size === 0) return [nothingThere(`mode ipvs (${kernel.family})`, ports.size)];
  const limits = { missingSchedulers: new Set<string>(), foreign: foreignServers(present) };
  const all = [...ports.values()];
  const desired = new DesiredState(settings, limits, adoptMarks(all, settings, present));
  const touched = nothingTouched();
  for (const port of all) desired.replace(undefined, port, touched);
  const plan = planFull(desired, present, new Drains());
  const nameOf = (owner: string | undefined) =>
    owner === undefined ? '' : (ports.get(owner)?.name ?? owner);
  const owners = new Owners(all);
  const found: KernelDifference[] = [];
  for (const [key, { port }] of desired.blocked)
    found.push({ sign: '~', what: 'virtual server', service: port.name, text: `${key} is somebody else's` });
  for (const each of [...plan.additions, ...plan.removals]) found.push(ofChange(each, nameOf(each.owner)));
  for (const address of plan.newAddresses)
    found.push({ sign: '+', what: 'address of kube-ipvs0', service: owners.of(address), text: address });
  for (const address of plan.goneAddresses)
    found.push({ sign: '-', what: 'address of kube-ipvs0', service: '', text: address });
  for (const { sign, entries } of [
    { sign: '+' as const, entries: plan.newEntries },
    { sign: '-' as const, entries: plan.goneEntries },
  ])
    for (const { set, element } of entries) {
      const what = `element of ${kernelName(set, settings.family)}`;
      found.push({ sign, what, service: owners.of(element), text: element });
    }
  return [...found, ...ruleDifferences(settings, saved)];
}

function ofChange({ change }: OwnedChange, service: string): KernelDifference {
  const what = 'destination' in change ? 'real server' : 'virtual server';
  const sign = ADDS.includes(change.action) ? '+' : change.action.startsWith('delete') ? '-' : '~';
  return { sign, what, service, text: printChange(change) };
}

/** Who has an address, an element, or a node port. */
class Owners {
  readonly #byPlace = new Map<string, string>();

  constructor(ports: readonly ServicePort[]) {
    for (const { clusterIP, externalIPs, loadBalancerIPs, nodePort, port, protocol, name } of ports) {
      const vips = [...externalIPs, ...loadBalancerIPs];
      for (const ip of clusterIP === undefined ? vips : [clusterIP, ...vips]) {
        this.#byPlace.set(placeElement(ip, protocol, port), name);
        this.#byPlace.set(ip, name);
      }
      if (nodePort !== 0) this.#byPlace.set(`${nodePort}`, name);
    }
  }

  /** `10.0.0.1,tcp:80,…`, `10.0.0.1`, `30080`; '' when nobody does. */
  of(element: string): string {
    const [address = '', place = ''] = element.split(',');
    const ofPlace = this.#byPlace.get(`${address},${place}`) ?? this.#byPlace.get(address);
    return ofPlace ?? this.#byPlace.get(place.split(':')[1] ?? '') ?? '';
  }
}

function ruleDifferences(settings: IpvsSettings, saved: SavedRules): KernelDifference[] {
  const rules = fixedRules(settings);
  const found: KernelDifference[] = [];
  const forms = (list: readonly string[] | undefined) => (list ?? []).map(ruleForm);
  for (const { table, from, rule } of chain.JUMPS) {
    if (!forms(saved[table]?.chains.get(from)).includes(ruleForm(rule)))
      found.push({ sign: '+', what: `jump in ${from} (${table})`, service: '', text: rule });
  }
  for (const table of chain.TABLES) {
    for (const [name, wanted] of rules[table]) {
      const there = saved[table]?.chains.get(name);
      const what = `rule in ${name} (${table})`;
      if (!there) {
        found.push({ sign: '+', what: 'chain', service: '', text: `${name} (${table})` });
        continue;
      }
      const left = forms(there);
      for (const rule of wanted) {
        const at = left.indexOf(ruleForm(rule));
        if (at < 0) found.push({ sign: '+', what, service: '', text: rule });
        else left.splice(at, 1);
      }
      for (const rule of left) found.push({ sign: '-', what, service: '', text: rule });
    }
  }
  return found;
}
