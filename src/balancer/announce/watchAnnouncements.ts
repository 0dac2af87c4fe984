/** Pools, advertisements and routers on an API server, of both groups; a group that is not installed has none. */
import { Contact } from '../../kubernetes/contact/Contact.js';
import type { Outage } from '../../kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import { Turns } from '../../kubernetes/http/Turns.js';
import { InitialEvents } from '../../kubernetes/watch/InitialEvents.js';
import { Reflector } from '../../kubernetes/watch/Reflector.js';
import type { WatchedPath } from '../../kubernetes/watch/resources.js';
import type { Clock } from '../../time/Clock.js';
import { type RawChange, RawStore } from '../allocator/RawStore.js';
import type { AnnouncementObjects } from './AnnouncementObjects.js';

const KINDS: readonly (readonly [plural: string, kind: string])[] = [
  ['ipaddresspools', 'IPAddressPool'],
  ['l2advertisements', 'L2Advertisement'],
  ['bgpadvertisements', 'BGPAdvertisement'],
  ['bgppeers', 'BGPPeer'],
  ['bfdprofiles', 'BFDProfile'],
  ['communities', 'Community'],
];

const GROUPS = [
  { title: 'penstock.io', version: () => 'penstock.io/v1alpha1' },
  {
    title: 'MetalLB',
    version: (plural: string) => `metallb.io/${plural === 'bgppeers' ? 'v1beta2' : 'v1beta1'}`,
  },
] as const;

export interface WatchAnnouncementsOptions {
  readonly api: ApiTransport;
  readonly outage: Outage;
  readonly objects: AnnouncementObjects;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onChange: () => void;
  /** Everything has been read once. */
  readonly onComplete: () => void;
}

export function watchAnnouncements(options: WatchAnnouncementsOptions): { stop(): Promise<void> } {
  const { api, outage, objects, clock, random, onChange, onComplete } = options;
  const turns = new Turns();
  const initialEvents = new InitialEvents();
  let incomplete = GROUPS.length * KINDS.length;
  const reflectors = GROUPS.flatMap(({ title, version }) =>
    KINDS.map(([plural, kind]) => {
      const apiVersion = version(plural);
      const resource: WatchedPath = {
        title: `${kind}s of ${title}`,
        path: `/apis/${apiVersion}/${plural}`,
        query: {},
        optional: true,
      };
      return new Reflector<RawChange>({
        resource,
        store: new RawStore(),
        transport: api,
        clock,
        random,
        turns,
        initialEvents,
        contact: new Contact(resource, clock, outage),
        events: {
          changes: (batch) => {
            for (const { type, key, raw } of batch) {
              const id = `${apiVersion} ${kind} ${key}`;
              // Items of a list do not say what they are.
              if (type === 'upsert') objects.set(id, { ...(raw as object), apiVersion, kind });
              else objects.delete(id);
            }
            onChange();
          },
          complete: () => {
            if (--incomplete === 0) onComplete();
          },
          problemsChanged: () => {},
        },
      });
    }),
  );
  for (const reflector of reflectors) reflector.start();
  return {
    stop: async () => {
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}
