/** What the chains of our tables do (docs/nftables.md), with the Service's name. */
import type { Explanation } from '../../../explain/explain.js';

/** By what a verdict goes to, then by the chain that the rule is in; the first that fits. */
const TARGETS: readonly (readonly [RegExp, string])[] = [
  [/^queue$/, 'hands the first packet to the agent'],
  [/^hold$/, 'a first packet: is it for a Service that sleeps?'],
  [/^wait$/, 'SERVICE sleeps'],
  [/^(choose|first-packets)$/, 'a first packet: is it for a Service that counts connections?'],
  [/^services$/, 'a first packet: is it for a Service?'],
  [/^admin-/, "the administrator's own rules"],
  [/^learn-affinity$/, 'remembers where the client was sent'],
  [/^refuse-unknown-port$/, 'a cluster IP, and a port that no Service has'],
  [/^drop-unused-ip$/, 'a cluster IP that no Service has'],
  [/^drop-outside-ranges$/, 'the client is outside of the source ranges'],
  [/^refuse/, 'no endpoint was found'],
  [/^service$/, 'an address and a port of SERVICE'],
  [/^firewalled-/, 'an address of SERVICE with source ranges'],
  [/^sticky-/, 'an address of SERVICE with session affinity'],
  [/^cluster(-|$)/, 'a cluster IP of SERVICE'],
  [/^(external|local)(-|$)/, 'an external or load-balancer IP of SERVICE'],
  [/^node-port-(external|local|sticky)/, 'a node port of SERVICE'],
  [/short-circuit/, 'from a pod or the node itself: all endpoints of SERVICE'],
  [/endpoints-.*-once$/, 'draws an index'],
  [/endpoints-half$/, 'draws among the lower half of the indexes, which all have an endpoint'],
  [/endpoints-|turn-/, 'picks one of the endpoints'],
  [/endpoints$/, 'how many endpoints are there to pick from?'],
];
const PLACES: readonly (readonly [RegExp, string])[] = [
  [/^nat-postrouting$/, 'on its way out'],
  [/^nat-output$/, 'of this node itself'],
  [/^refuse/, 'refuses it'],
  [/^wait$/, 'more come than can wait: dropped'],
  [/^drop-/, 'drops it'],
  [/endpoints|turn-/, 'rewrites the destination to the endpoint'],
  [/^(firewalled-|sticky-)*(cluster|external|node-port)/, 'marks it for masquerade'],
  [/^services$/, 'is it for a Service?'],
];

/** `target`: the chain that the verdict goes to, or the verdict. */
export function chainWords(chain: string, target: string, model: Explanation): string {
  const words =
    TARGETS.find(([form]) => form.test(target))?.[1] ??
    (target === 'continue' ? onWords(chain) : undefined) ??
    PLACES.find(([form]) => form.test(chain))?.[1] ??
    '';
  return words.replace('SERVICE', model.servicePort ?? model.service ?? 'a Service');
}

/** Of a rule or a chain that is left as the packet was. */
function onWords(chain: string): string | undefined {
  if (/^(refuse|drop-)/.test(chain)) return 'tells the flow log';
  return /-once$/.test(chain) ? 'no endpoint has this index' : undefined;
}
